#include "harness.hpp"

using lmaps::BlurKernel;
using lmaps::Padding;
using lmaps::Shape;

namespace {

constexpr Padding kPaddings[] = {Padding::reflect, Padding::circular, Padding::replicate, Padding::zero};
const Shape kShape{2, 2, 13, 37};

// Where position p of an extended side comes from, counted out one entry at a time.
std::int64_t walk(std::int64_t p, std::int64_t length, Padding padding) {
  if (padding == Padding::zero) return p < 0 || p >= length ? -1 : p;
  while (p < 0 || p >= length) {
    if (padding == Padding::circular) p += p < 0 ? length : -length;
    if (padding == Padding::replicate) p += p < 0 ? 1 : -1;
    if (padding == Padding::reflect) p = p < 0 ? -p : 2 * (length - 1) - p;
  }
  return p;
}

std::vector<double> literal(const std::vector<float>& x, const std::vector<float>& weights, std::int64_t kh, std::int64_t kw,
                            Padding padding) {
  std::vector<double> seen(x.size());
  for (std::int64_t at = 0; at < kShape.size(); ++at) {
    const std::int64_t plane = at / kShape.plane_size(), i = at / kShape.width % kShape.height, j = at % kShape.width;
    for (std::int64_t a = 0; a < kh; ++a) {
      for (std::int64_t b = 0; b < kw; ++b) {
        const std::int64_t row = walk(i + a - kh / 2, kShape.height, padding), column = walk(j + b - kw / 2, kShape.width, padding);
        if (row < 0 || column < 0) continue;
        seen[static_cast<std::size_t>(at)] +=
            double(weights[static_cast<std::size_t>(a * kw + b)]) *
            double(x[static_cast<std::size_t>(plane * kShape.plane_size() + row * kShape.width + column)]);
      }
    }
  }
  return seen;
}

}  // namespace

TEST(forward_adjoint_and_steps) {
  const std::int64_t sides[][2] = {{1, 1}, {3, 7}, {9, 5}, {13, 1}};
  const std::vector<float> x = harness::random_floats(kShape.size(), 1), u = harness::random_floats(kShape.size(), 2);
  for (const auto& side : sides) {
    const std::int64_t kh = side[0], kw = side[1];
    const std::vector<float> column = harness::random_floats(kh, 3), row = harness::random_floats(kw, 4);
    std::vector<float> product;
    for (const float a : column) {
      for (const float b : row) product.push_back(a * b);
    }
    const std::vector<float> weights = harness::random_floats(kh * kw, 5);
    for (const Padding padding : kPaddings) {
      for (const bool separable : {false, true}) {
        const BlurKernel kernel = separable ? BlurKernel::separable(column.data(), kh, row.data(), kw)
                                            : BlurKernel::full(weights.data(), kh, kw);
        std::vector<float> hx = harness::poisoned(kShape.size()), htu = harness::poisoned(kShape.size());
        lmaps::blur_forward(x.data(), hx.data(), kShape, kernel, padding);
        EXPECT(harness::relative(hx, literal(x, separable ? product : weights, kh, kw, padding)) < 1e-6);
        lmaps::blur_adjoint(u.data(), htu.data(), kShape, kernel, padding);
        const double scale = std::sqrt(harness::dot(hx, hx) * harness::dot(u, u));
        EXPECT(std::fabs(harness::dot(hx, u) - harness::dot(x, htu)) < 1e-6 * scale);

        // One step: x - eta r k2 H^T (H x - u).
        std::vector<float> residual = hx, pull = harness::poisoned(kShape.size()), out = harness::poisoned(kShape.size());
        for (std::size_t i = 0; i < u.size(); ++i) residual[i] -= u[i];
        lmaps::blur_adjoint(residual.data(), pull.data(), kShape, kernel, padding);
        lmaps::blur_steps(x.data(), u.data(), out.data(), kShape, kernel, padding, {0.5, 0.4, 0.3, 1});
        std::vector<double> expected;
        for (std::size_t i = 0; i < x.size(); ++i) expected.push_back(x[i] - 0.3 * 0.5 * 0.4 * double(pull[i]));
        EXPECT(harness::relative(out, expected) < 1e-6);
      }
    }
  }
}

TEST(refusals) {
  const std::vector<float> x = harness::random_floats(kShape.size(), 1), k = harness::random_floats(29 * 29, 2);
  std::vector<float> out = harness::poisoned(kShape.size());
  const auto blur = [&](const BlurKernel& kernel, Padding padding) {
    lmaps::blur_forward(x.data(), out.data(), kShape, kernel, padding);
  };
  EXPECT_REFUSAL("kernel.height", blur(BlurKernel::full(k.data(), 4, 3), Padding::zero));
  EXPECT_REFUSAL("kernel.width", blur(BlurKernel::full(k.data(), 3, 0), Padding::zero));
  EXPECT_REFUSAL("kernel.height reaches 14", blur(BlurKernel::full(k.data(), 29, 3), Padding::reflect));
  EXPECT_REFUSAL("kernel.column", blur(BlurKernel::full(nullptr, 3, 3), Padding::zero));
  EXPECT_REFUSAL("kernel.row", blur(BlurKernel::separable(k.data(), 3, nullptr, 3), Padding::zero));
  const float bad = std::nanf("");
  EXPECT_REFUSAL("finite", blur(BlurKernel::full(&bad, 1, 1), Padding::zero));
  EXPECT_REFUSAL("out overlaps u", lmaps::blur_adjoint(out.data(), out.data(), kShape, BlurKernel::full(k.data(), 3, 3), Padding::zero));
}
