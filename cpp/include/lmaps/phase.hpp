// Phase retrieval: H(x) = |F pad((x + 1) / 2)| with an orthonormal two-dimensional Fourier transform F of a field into whose
// corner the picture is put. Its data gradient is J^T (H(x) - y) = 1/2 crop F^-1 (z - y z / |z|), z = F pad((x + 1) / 2).
#pragma once

#include <complex>
#include <cstdint>
#include <memory>

#include "lmaps/types.hpp"

namespace lmaps {

// What lies between the two transforms of a gradient step, for transforms of one's own: z <- z - y z / |z| in place, with
// z / |z| = 0 where z = 0. z and y hold `count` numbers and share no memory. Throws std::invalid_argument naming the argument.
void phase_middle(std::complex<float>* z, const float* y, std::int64_t count);

struct PhasePlan;

// All of the inner problem (types.hpp), the transforms included. A step visits the spectrum twice: (forward, z - y z / |z|,
// inverse) along its rows and (inverse, update of the picture, forward) down its columns.
class PhaseRetrieval {
 public:
  // Pictures of height x width in fields of fft_height x fft_width, whose sides are products of 2, 3 and 5.
  // Throws std::invalid_argument naming the argument.
  PhaseRetrieval(std::int64_t height, std::int64_t width, std::int64_t fft_height, std::int64_t fft_width);
  ~PhaseRetrieval();
  PhaseRetrieval(PhaseRetrieval&&) noexcept;
  PhaseRetrieval& operator=(PhaseRetrieval&&) noexcept;

  std::int64_t height() const;
  std::int64_t width() const;
  std::int64_t half() const;    // fft_height / 2 + 1
  std::int64_t across() const;  // fft_width

  // xhat, out: [planes][height][width]. y: the upper half [planes][half()][across()] of the measured moduli, which must be even:
  // the modulus at (k, l) equals that at (-k, -l). Safe to call from several threads at once.
  void steps(const float* xhat, const float* y, float* out, std::int64_t planes, Inner inner) const;

 private:
  std::unique_ptr<const PhasePlan> plan_;
};

}  // namespace lmaps
