#include <functional>

#include "harness.hpp"

using lmaps::Inner;
using lmaps::Shape;

namespace {

const Shape kShape{2, 3, 17, 23};
const Inner kInner{0.4, 0.9, 0.7, 13};

using Pull = std::function<double(double x, std::size_t i)>;

// The loop as types.hpp prints it, in double precision.
std::vector<double> literal(const std::vector<float>& xhat, const Inner& inner, const Pull& pull) {
  std::vector<double> x(xhat.begin(), xhat.end());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double start = x[i];
    for (std::int64_t k = 0; k < inner.steps; ++k) {
      x[i] -= inner.eta * ((1 - inner.r) * (x[i] - start) + inner.r * inner.k2 * pull(x[i], i));
    }
  }
  return x;
}

const std::vector<float> xhat = harness::random_floats(kShape.size(), 1);
const std::vector<float> y = harness::random_floats(kShape.size(), 2);

}  // namespace

TEST(mask) {
  for (const std::int64_t count : {kShape.plane_size(), kShape.plane_size() * 3, kShape.size()}) {
    const std::vector<float> mask = harness::random_floats(count, 3);
    std::vector<float> out = harness::poisoned(kShape.size());
    lmaps::mask_steps(xhat.data(), y.data(), mask.data(), count, out.data(), kShape, kInner);
    const auto expected = literal(xhat, kInner, [&](double x, std::size_t i) {
      const double m = mask[i % mask.size()];
      return m * (m * x - y[i]);
    });
    EXPECT(harness::relative(out, expected) < 2e-7);
  }
}

TEST(hdr) {
  for (const bool surrogate : {false, true}) {
    std::vector<float> out = harness::poisoned(kShape.size());
    const auto gradient = surrogate ? lmaps::Gradient::surrogate : lmaps::Gradient::clip;
    lmaps::hdr_steps(xhat.data(), y.data(), out.data(), kShape, 2.0, gradient, kInner);
    const auto expected = literal(xhat, kInner, [&](double x, std::size_t i) {
      const double seen = std::fmin(std::fmax(2.0 * x, -1.0), 1.0);
      const double slope = surrogate ? 1.0 : (std::fabs(2.0 * x) <= 1.0 ? 2.0 : 0.0);
      return slope * (seen - y[i]);
    });
    EXPECT(harness::relative(out, expected) < 2e-7);
  }
}

TEST(quantize) {
  for (const int bits : {1, 2, 5}) {
    std::vector<float> out = harness::poisoned(kShape.size());
    const Inner gentle{0.3, 0.5, 0.4, 3};
    lmaps::quantize_steps(xhat.data(), y.data(), out.data(), kShape, bits, gentle);
    const double levels = (1 << bits) - 1;
    const auto expected = literal(xhat, gentle, [&](double x, std::size_t i) {
      return 2.0 * std::floor((x + 1.0) / 2.0 * levels + 0.5) / levels - 1.0 - y[i];
    });
    EXPECT(harness::relative(out, expected) < 2e-7);
  }
}

TEST(no_steps_copy_the_start) {
  const Inner none{0.5, 1.0, 1.0, 0};
  std::vector<float> out = harness::poisoned(kShape.size());
  lmaps::hdr_steps(xhat.data(), y.data(), out.data(), kShape, 2.0, lmaps::Gradient::clip, none);
  EXPECT(out == xhat);
}

TEST(refusals) {
  std::vector<float> out(xhat.size() + 4);
  const double nan = std::nan("");
  const auto hdr = [&](const float* a, const float* b, float* c, Shape shape, double scale, Inner inner) {
    lmaps::hdr_steps(a, b, c, shape, scale, lmaps::Gradient::clip, inner);
  };
  EXPECT_REFUSAL("xhat", hdr(nullptr, y.data(), out.data(), kShape, 2, kInner));
  EXPECT_REFUSAL("y must", hdr(xhat.data(), nullptr, out.data(), kShape, 2, kInner));
  EXPECT_REFUSAL("out", hdr(xhat.data(), y.data(), nullptr, kShape, 2, kInner));
  EXPECT_REFUSAL("out overlaps y", hdr(xhat.data(), out.data() + 4, out.data(), kShape, 2, kInner));
  EXPECT_REFUSAL("shape.height", hdr(xhat.data(), y.data(), out.data(), {1, 1, 0, 1}, 2, kInner));
  EXPECT_REFUSAL("2^40", hdr(xhat.data(), y.data(), out.data(), {1 << 20, 1 << 20, 1 << 20, 1 << 20}, 2, kInner));
  EXPECT_REFUSAL("scale", hdr(xhat.data(), y.data(), out.data(), kShape, 0, kInner));
  EXPECT_REFUSAL("r must", hdr(xhat.data(), y.data(), out.data(), kShape, 2, {nan, 1, 1, 1}));
  EXPECT_REFUSAL("r must", hdr(xhat.data(), y.data(), out.data(), kShape, 2, {1.1, 1, 1, 1}));
  EXPECT_REFUSAL("k2", hdr(xhat.data(), y.data(), out.data(), kShape, 2, {1, -1, 1, 1}));
  EXPECT_REFUSAL("eta", hdr(xhat.data(), y.data(), out.data(), kShape, 2, {1, 1, nan, 1}));
  EXPECT_REFUSAL("steps", hdr(xhat.data(), y.data(), out.data(), kShape, 2, {1, 1, 1, -1}));
  EXPECT_REFUSAL("steps", hdr(xhat.data(), y.data(), out.data(), kShape, 2, {1, 1, 1, lmaps::exact}));
  EXPECT_REFUSAL("mask", lmaps::mask_steps(xhat.data(), y.data(), y.data(), 3, out.data(), kShape, kInner));
  EXPECT_REFUSAL("bits", lmaps::quantize_steps(xhat.data(), y.data(), out.data(), kShape, 0, kInner));
}
