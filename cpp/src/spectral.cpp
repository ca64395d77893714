#include "lmaps/spectral.hpp"

#include <vector>

#include "check.hpp"
#include "dispatch.hpp"
#include "parallel.hpp"

namespace lmaps {
namespace {

void require_counts(std::int64_t count, std::int64_t eigenvalue_count) {
  check::at_least("count", count, 1);
  check::at_least("eigenvalue_count", eigenvalue_count, 1);
  if (count % eigenvalue_count != 0) {
    check::fail("eigenvalue_count must divide count = " + std::to_string(count) + ", got " + std::to_string(eigenvalue_count));
  }
}

// The kernels know complex numbers as pairs of floats.
const float* parts(const float* values) { return values; }
const float* parts(const std::complex<float>* values) { return reinterpret_cast<const float*>(values); }
float* parts(float* values) { return values; }
float* parts(std::complex<float>* values) { return reinterpret_cast<float*>(values); }

template <class T>
void apply(const T* c, const T* b, const float* eigenvalues, const float* gain, std::int64_t eigenvalue_count, T* out,
           std::int64_t count) {
  require_counts(count, eigenvalue_count);
  check::memory(check::range("out", out, count), check::range("c", c, count), check::range("b", b, count),
                check::range("eigenvalues", eigenvalues, eigenvalue_count), check::range("gain", gain, eigenvalue_count));
  const auto run = std::is_same_v<T, float> ? kernels().spectral_apply : kernels().spectral_apply_complex;
  parallel_pieces(count / eigenvalue_count, eigenvalue_count, [&](std::int64_t group, std::int64_t begin, std::int64_t length) {
    const std::int64_t at = group * eigenvalue_count + begin;
    run(parts(c + at), parts(b + at), eigenvalues + begin, gain + begin, parts(out + at), length);
  });
}

template <class T>
void filter(const T* c, const T* b, const float* eigenvalues, std::int64_t eigenvalue_count, T* out, std::int64_t count,
            const Inner& inner) {
  require_counts(count, eigenvalue_count);
  check::memory(check::range("out", out, count), check::range("c", c, count), check::range("b", b, count),
                check::range("eigenvalues", eigenvalues, eigenvalue_count));
  std::vector<float> gain(static_cast<std::size_t>(eigenvalue_count));
  spectral_gain(eigenvalues, gain.data(), eigenvalue_count, inner);
  apply(c, b, eigenvalues, gain.data(), eigenvalue_count, out, count);
}

}  // namespace

void spectral_gain(const float* eigenvalues, float* gain, std::int64_t count, Inner inner) {
  check::at_least("count", count, 1);
  check::inner(inner);
  check::memory(check::range("gain", gain, count), check::range("eigenvalues", eigenvalues, count));
  const SpectralStep step{1.0 - inner.r, inner.r * inner.k2, inner.eta, inner.steps, inner.steps == exact};
  const Kernels& run = kernels();
  parallel_pieces(1, count, [&](std::int64_t, std::int64_t begin, std::int64_t length) {
    run.spectral_gain(eigenvalues + begin, gain + begin, length, step);
  });
}

void spectral_apply(const float* c, const float* b, const float* eigenvalues, const float* gain, std::int64_t eigenvalue_count,
                    float* out, std::int64_t count) {
  apply(c, b, eigenvalues, gain, eigenvalue_count, out, count);
}

void spectral_apply(const std::complex<float>* c, const std::complex<float>* b, const float* eigenvalues, const float* gain,
                    std::int64_t eigenvalue_count, std::complex<float>* out, std::int64_t count) {
  apply(c, b, eigenvalues, gain, eigenvalue_count, out, count);
}

void spectral_filter(const float* c, const float* b, const float* eigenvalues, std::int64_t eigenvalue_count, float* out,
                     std::int64_t count, Inner inner) {
  filter(c, b, eigenvalues, eigenvalue_count, out, count, inner);
}

void spectral_filter(const std::complex<float>* c, const std::complex<float>* b, const float* eigenvalues,
                     std::int64_t eigenvalue_count, std::complex<float>* out, std::int64_t count, Inner inner) {
  filter(c, b, eigenvalues, eigenvalue_count, out, count, inner);
}

}  // namespace lmaps
