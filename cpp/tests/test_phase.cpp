#include <complex>

#include "harness.hpp"

using Complex = std::complex<double>;

namespace {

constexpr double kTau = 6.283185307179586476925286766559;
constexpr std::int64_t kHeight = 7, kWidth = 9, kPlanes = 2, kSize = kHeight * kWidth;

// The orthonormal transform of a field as a plain sum, forwards or backwards.
std::vector<Complex> transform(const std::vector<Complex>& z, std::int64_t high, std::int64_t wide, double sign) {
  std::vector<Complex> out(z.size());
  for (std::int64_t k = 0; k < high; ++k) {
    for (std::int64_t l = 0; l < wide; ++l) {
      Complex sum = 0.0;
      for (std::int64_t i = 0; i < high; ++i) {
        for (std::int64_t j = 0; j < wide; ++j) {
          const double turn = double(k * i) / double(high) + double(l * j) / double(wide);
          sum += z[static_cast<std::size_t>(i * wide + j)] * std::polar(1.0, sign * kTau * turn);
        }
      }
      out[static_cast<std::size_t>(k * wide + l)] = sum / std::sqrt(double(high * wide));
    }
  }
  return out;
}

// Steps on one plane; y is the whole field.
std::vector<double> literal(const float* xhat, const std::vector<double>& y, std::int64_t high, std::int64_t wide,
                            const lmaps::Inner& inner) {
  std::vector<double> x(xhat, xhat + kSize);
  for (std::int64_t step = 0; step < inner.steps; ++step) {
    std::vector<Complex> field(static_cast<std::size_t>(high * wide));
    for (std::int64_t at = 0; at < kSize; ++at) {
      field[static_cast<std::size_t>(at / kWidth * wide + at % kWidth)] = (x[static_cast<std::size_t>(at)] + 1) / 2;
    }
    std::vector<Complex> z = transform(field, high, wide, -1);
    for (std::size_t i = 0; i < z.size(); ++i) z[i] -= std::abs(z[i]) > 0 ? y[i] * z[i] / std::abs(z[i]) : 0.0;
    z = transform(z, high, wide, 1);
    for (std::int64_t at = 0; at < kSize; ++at) {
      const auto i = static_cast<std::size_t>(at);
      const double pull = z[static_cast<std::size_t>(at / kWidth * wide + at % kWidth)].real() / 2;
      x[i] -= inner.eta * ((1 - inner.r) * (x[i] - double(xhat[i])) + inner.r * inner.k2 * pull);
    }
  }
  return x;
}

}  // namespace

TEST(steps_are_the_loop) {
  const std::int64_t fields[][2] = {{8, 10}, {9, 12}, {12, 15}, {16, 32}};
  for (const auto& field : fields) {
    const std::int64_t high = field[0], wide = field[1], half = high / 2 + 1;
    const std::vector<float> xhat = harness::random_floats(kPlanes * kSize, 1);
    std::vector<float> upper;
    std::vector<double> expected;
    for (std::int64_t plane = 0; plane < kPlanes; ++plane) {
      const std::vector<float> given = harness::random_floats(high * wide, 2 + static_cast<unsigned>(plane));
      std::vector<double> y(given.size());
      for (std::int64_t k = 0; k < high; ++k) {
        for (std::int64_t l = 0; l < wide; ++l) {
          const auto here = static_cast<std::size_t>(k * wide + l);
          const auto there = static_cast<std::size_t>((high - k) % high * wide + (wide - l) % wide);
          y[here] = std::fabs(double(given[here]) + double(given[there]));
          if (k < half) upper.push_back(static_cast<float>(y[here]));
        }
      }
      const std::vector<double> x = literal(xhat.data() + plane * kSize, y, high, wide, {0.4, 1.5, 0.7, 4});
      expected.insert(expected.end(), x.begin(), x.end());
    }
    const lmaps::PhaseRetrieval phase(kHeight, kWidth, high, wide);
    std::vector<float> out = harness::poisoned(kPlanes * kSize);
    phase.steps(xhat.data(), upper.data(), out.data(), kPlanes, {0.4, 1.5, 0.7, 4});
    EXPECT(harness::relative(out, expected) < 2e-6);
    phase.steps(xhat.data(), upper.data(), out.data(), kPlanes, {0.4, 1.5, 0.7, 0});
    EXPECT(out == xhat);
  }
}

TEST(refusals) {
  EXPECT_REFUSAL("fft_height", lmaps::PhaseRetrieval(7, 9, 6, 12));
  EXPECT_REFUSAL("fft_width", lmaps::PhaseRetrieval(7, 9, 8, 14));
  EXPECT_REFUSAL("height", lmaps::PhaseRetrieval(0, 9, 8, 12));
  const lmaps::PhaseRetrieval phase(kHeight, kWidth, 8, 10);
  std::vector<float> x(kSize), y(5 * 10), out(kSize);
  EXPECT_REFUSAL("y", phase.steps(x.data(), nullptr, out.data(), 1, {}));
  EXPECT_REFUSAL("overlaps", phase.steps(x.data(), y.data(), x.data(), 1, {}));
  EXPECT_REFUSAL("steps", phase.steps(x.data(), y.data(), out.data(), 1, {0.5, 1.0, 1.0, lmaps::exact}));
  EXPECT_REFUSAL("channels", phase.steps(x.data(), y.data(), out.data(), 0, {}));
}
