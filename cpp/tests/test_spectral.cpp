#include <complex>

#include "harness.hpp"

using Complex = std::complex<float>;
using lmaps::Inner;

namespace {

std::vector<float> eigenvalues() {
  std::vector<float> values = harness::random_floats(131, 1);
  for (float& value : values) value = std::fabs(value);
  values[0] = 0.0f;
  values[1] = 1e-12f;
  values[2] = 1e-30f;
  return values;
}

// The loop itself, started at c: c <- c - eta ((1 - r)(c - start) + r k2 (lam c - b)).
double literal(double start, double b, double lam, const Inner& inner) {
  double c = start;
  for (std::int64_t k = 0; k < inner.steps; ++k) {
    c -= inner.eta * ((1 - inner.r) * (c - start) + inner.r * inner.k2 * (lam * c - b));
  }
  return c;
}

}  // namespace

TEST(filter_is_the_loop) {
  const std::vector<float> lam = eigenvalues();
  const std::int64_t n = static_cast<std::int64_t>(lam.size());
  const std::vector<float> c = harness::random_floats(2 * 3 * n, 2), b = harness::random_floats(2 * 3 * n, 3);
  const Inner inners[] = {{0.5, 1.0, 0.7, 100}, {1.0, 1.0, 0.9, 7}, {0.999999, 1.0, 0.5, 1000}, {0.3, 2.0, 1.1, 1}, {0.3, 2.0, 1.1, 0}};
  for (const Inner& inner : inners) {
    std::vector<float> real = harness::poisoned(3 * n);
    lmaps::spectral_filter(c.data(), b.data(), lam.data(), n, real.data(), 3 * n, inner);
    std::vector<float> pairs = harness::poisoned(2 * 3 * n);
    lmaps::spectral_filter(reinterpret_cast<const Complex*>(c.data()), reinterpret_cast<const Complex*>(b.data()), lam.data(), n,
                           reinterpret_cast<Complex*>(pairs.data()), 3 * n, inner);
    std::vector<double> real_expected, pairs_expected;
    for (std::size_t i = 0; i < c.size(); ++i) {
      pairs_expected.push_back(literal(c[i], b[i], lam[i / 2 % lam.size()], inner));
      if (i < c.size() / 2) real_expected.push_back(literal(c[i], b[i], lam[i % lam.size()], inner));
    }
    EXPECT(harness::relative(real, real_expected) < 1e-6);
    EXPECT(harness::relative(pairs, pairs_expected) < 1e-6);
  }
}

TEST(gain_limits) {
  const std::vector<float> lam = eigenvalues();
  const std::int64_t n = static_cast<std::int64_t>(lam.size());
  std::vector<float> gain = harness::poisoned(n);
  lmaps::spectral_gain(lam.data(), gain.data(), n, {1.0, 1.0, 0.25, 40});
  EXPECT(gain[0] == 10.0f);  // eta K where m = 0
  EXPECT(std::fabs(gain[1] - 10.0f) < 1e-5f);
  lmaps::spectral_gain(lam.data(), gain.data(), n, {1.0, 1.0, 0.25, lmaps::exact});
  EXPECT(gain[0] == 0.0f);
  for (std::size_t i = 3; i < gain.size(); ++i) EXPECT(std::fabs(gain[i] * lam[i] - 1.0f) < 1e-6f);
}

TEST(phase_middle) {
  const std::int64_t n = 1003;
  std::vector<float> parts = harness::random_floats(2 * n, 4), y = harness::random_floats(n, 5);
  for (float& value : y) value = std::fabs(value);
  std::vector<Complex> z;
  for (std::int64_t i = 0; i < n; ++i) {
    const float scale = std::pow(10.0f, static_cast<float>(i % 60 - 30));
    z.emplace_back(parts[static_cast<std::size_t>(2 * i)] * scale, parts[static_cast<std::size_t>(2 * i + 1)] * scale);
  }
  z[7] = 0;
  const std::vector<Complex> before = z;
  lmaps::phase_middle(z.data(), y.data(), n);
  for (std::size_t i = 0; i < z.size(); ++i) {
    const std::complex<double> from(before[i]);
    const double length = std::abs(from);
    const std::complex<double> expected = length > 0 ? from - double(y[i]) * from / length : 0.0;
    EXPECT(std::abs(std::complex<double>(z[i]) - expected) <= 3e-7 * (length + double(y[i])));
  }
}

TEST(refusals) {
  std::vector<float> a(12), b(12), out(12);
  std::vector<Complex> z(4);
  const Inner inner{0.5, 1, 1, 3};
  EXPECT_REFUSAL("eigenvalue_count", lmaps::spectral_filter(a.data(), b.data(), a.data(), 5, out.data(), 12, inner));
  EXPECT_REFUSAL("count", lmaps::spectral_gain(a.data(), out.data(), 0, inner));
  EXPECT_REFUSAL("out overlaps c", lmaps::spectral_filter(a.data(), b.data(), b.data(), 12, a.data(), 12, inner));
  EXPECT_REFUSAL("gain", lmaps::spectral_apply(a.data(), b.data(), b.data(), nullptr, 12, out.data(), 12));
  EXPECT_REFUSAL("z must", lmaps::phase_middle(nullptr, a.data(), 4));
  EXPECT_REFUSAL("z overlaps y", lmaps::phase_middle(z.data(), reinterpret_cast<float*>(z.data()), 4));
}
