// The inner problem (types.hpp, Inner) for operators that act on each entry alone: one load, `steps` gradient steps in
// registers, one store.
//
// xhat, y, out: [shape]. Values are in the [-1, 1] range of the loop; nothing is clipped that H does not clip. All functions
// throw std::invalid_argument naming the argument: null pointer, empty shape, out overlapping an input, parameters out of range.
#pragma once

#include "lmaps/types.hpp"

namespace lmaps {

// H(x) = mask * x. The mask has mask_count entries and repeats over the leading dimensions: height * width entries serve all
// planes, channels * height * width all images. mask_count must divide shape.size().
void mask_steps(const float* xhat, const float* y, const float* mask, std::int64_t mask_count, float* out, Shape shape,
                Inner inner);

enum class Gradient {
  clip,       // J = scale where -1 <= scale x <= 1, else 0: what autograd gives through a clamp
  surrogate,  // J = I (Eq. 17 of the paper)
};

// H(x) = clip(scale * x, -1, 1), scale > 0.
void hdr_steps(const float* xhat, const float* y, float* out, Shape shape, double scale, Gradient gradient, Inner inner);

// H(x) = 2 floor((x + 1) / 2 * L + 1/2) / L - 1 with L = 2^bits - 1, 1 <= bits <= 16; J = I (Eq. 17 and 32 of the paper).
void quantize_steps(const float* xhat, const float* y, float* out, Shape shape, int bits, Inner inner);

}  // namespace lmaps
