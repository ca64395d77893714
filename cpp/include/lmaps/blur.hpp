// Blurs of small support with the edges of the picture extended, their exact adjoints, and the inner problem (types.hpp,
// Inner) for them.
//
//     H(x)[i, j] = sum over a, b of kernel[a, b] x~[i + a - (height - 1) / 2, j + b - (width - 1) / 2]
//
// a cross-correlation of every plane with one kernel, x~ being the extended picture. Flip the kernel on both axes for a
// convolution.
#pragma once

#include "lmaps/types.hpp"

namespace lmaps {

enum class Padding {
  reflect,    // d c b | a b c d | c b a: the edge is not repeated; at most side - 1 entries
  circular,   // b c d | a b c d | a b c: at most a whole side
  replicate,  // a a a | a b c d | d d d
  zero,       // 0 0 0 | a b c d | 0 0 0
};

// Both sides odd. Either all weights, or the two factors of a kernel of rank one: kernel[a, b] = column[a] * row[b], which
// costs height + width instead of height * width products an entry. Weights that are 0 cost nothing.
struct BlurKernel {
  const float* weights = nullptr;  // [height, width], or null
  const float* column = nullptr;   // [height], where weights is null
  const float* row = nullptr;      // [width], where weights is null
  std::int64_t height = 0;
  std::int64_t width = 0;

  static BlurKernel full(const float* weights, std::int64_t height, std::int64_t width) {
    return {weights, nullptr, nullptr, height, width};
  }
  static BlurKernel separable(const float* column, std::int64_t height, const float* row, std::int64_t width) {
    return {nullptr, column, row, height, width};
  }
};

// All arrays [shape]. The functions throw std::invalid_argument naming the argument.
void blur_forward(const float* x, float* out, Shape shape, const BlurKernel& kernel, Padding padding);
void blur_adjoint(const float* u, float* out, Shape shape, const BlurKernel& kernel, Padding padding);
void blur_steps(const float* xhat, const float* y, float* out, Shape shape, const BlurKernel& kernel, Padding padding,
                Inner inner);

}  // namespace lmaps
