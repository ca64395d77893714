// K gradient steps of a linear problem at once, in the basis where H^T H is diagonal.
#include "kernels.hpp"
#include "vec.hpp"

namespace lmaps::LMAPS_ISA {
namespace {

constexpr int kBlock = 64;

// eta (1 + p + ... + p^(K - 1)) = (1 - p^K) / m with p = 1 - eta m, by doubling from the highest bit of K down. All terms
// are positive where the steps converge without overshoot, so nothing cancels as m goes to 0, where the sum is K.
void geometric_sums(const double (&p)[kBlock], double (&sum)[kBlock], int64_t steps) {
  double power[kBlock];
  for (int i = 0; i < kBlock; ++i) sum[i] = 0.0, power[i] = 1.0;
  for (int bit = 62; bit >= 0; --bit) {
    if ((steps >> bit) == 0) continue;
    for (int i = 0; i < kBlock; ++i) sum[i] += sum[i] * power[i], power[i] *= power[i];
    if ((steps >> bit) & 1) {
      for (int i = 0; i < kBlock; ++i) sum[i] = sum[i] * p[i] + 1.0, power[i] *= p[i];
    }
  }
}

void gain_block(const double (&m)[kBlock], double (&gain)[kBlock], const SpectralStep& step) {
  if (step.exact) {
    for (int i = 0; i < kBlock; ++i) gain[i] = m[i] == 0.0 ? 0.0 : step.data / m[i];
    return;
  }
  double p[kBlock];
  for (int i = 0; i < kBlock; ++i) p[i] = 1.0 - step.eta * m[i];
  geometric_sums(p, gain, step.steps);
  for (int i = 0; i < kBlock; ++i) gain[i] *= step.eta * step.data;
}

}  // namespace

void spectral_gain(const float* eigenvalues, float* gain, int64_t count, SpectralStep step) {
  double m[kBlock], w[kBlock];
  for (int64_t at = 0; at < count; at += kBlock) {
    const int length = count - at < kBlock ? static_cast<int>(count - at) : kBlock;
    for (int i = 0; i < kBlock; ++i) m[i] = step.prior + step.data * (i < length ? double{eigenvalues[at + i]} : 0.0);
    gain_block(m, w, step);
    for (int i = 0; i < length; ++i) gain[at + i] = static_cast<float>(w[i]);
  }
}

void spectral_apply(const float* c, const float* b, const float* eigenvalues, const float* gain, float* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] = c[i] + gain[i] * (b[i] - eigenvalues[i] * c[i]);
}

void spectral_apply_complex(const float* c, const float* b, const float* eigenvalues, const float* gain, float* out,
                            int64_t count) {
  float lam[2 * kBlock], w[2 * kBlock];
  for (int64_t at = 0; at < count; at += kBlock) {
    const int64_t length = count - at < kBlock ? count - at : kBlock;
    for (int64_t i = 0; i < length; ++i) {
      lam[2 * i] = lam[2 * i + 1] = eigenvalues[at + i];
      w[2 * i] = w[2 * i + 1] = gain[at + i];
    }
    spectral_apply(c + 2 * at, b + 2 * at, lam, w, out + 2 * at, 2 * length);
  }
}

}  // namespace lmaps::LMAPS_ISA
