// Camera shake: H(x) = clip(2 g(sum over s of w_s R_s E g^-1((x + 1) / 2)) - 1, -1, 1). Light adds up while the camera moves, and
// the curve g of sRGB shapes it afterwards; each of several kernels rules a part of the picture.
//
//     E  extends a plane beyond its edges, R_s correlates with kernel s and keeps the plane's own corner, w_s weighs pixels
#pragma once

#include <complex>
#include <cstdint>
#include <memory>
#include <vector>

#include "lmaps/types.hpp"

namespace lmaps {

struct CameraPlan;

// All of the inner problem (types.hpp), the transforms included: the light is transformed once for all kernels, and their
// gradients are transformed back once.
class CameraShake {
 public:
  // height, width, rows, columns, fft_height, fft_width: as in correlation.hpp.
  // responses: the Fourier transforms of `shakes` kernels, [shakes][fft_height / 2 + 1][fft_width], shakes in 1..16.
  // weights:   [shakes][height][width].
  // Throws std::invalid_argument naming the argument.
  CameraShake(std::int64_t height, std::int64_t width, const std::vector<std::int32_t>& rows,
              const std::vector<std::int32_t>& columns, std::int64_t fft_height, std::int64_t fft_width, std::int64_t shakes,
              const std::complex<float>* responses, const float* weights);
  ~CameraShake();
  CameraShake(CameraShake&&) noexcept;
  CameraShake& operator=(CameraShake&&) noexcept;

  std::int64_t height() const;
  std::int64_t width() const;

  // xhat, y, out: [planes][height][width] in [-1, 1]. Safe to call from several threads at once.
  void steps(const float* xhat, const float* y, float* out, std::int64_t planes, Inner inner) const;

 private:
  std::unique_ptr<const CameraPlan> plan_;
};

}  // namespace lmaps
