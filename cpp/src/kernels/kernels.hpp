// What each kernel file defines, once for each instruction set. The meaning of every function is in table.hpp.
#pragma once

#include "table.hpp"

namespace lmaps::LMAPS_ISA {

void philox_words(uint32_t* out, int64_t blocks, NoiseKey key, uint32_t first, uint32_t top);
void normal(float* out, int64_t begin, int64_t count, NoiseKey key);
void transition(const float* x0, const float* x, float* out, int64_t begin, int64_t count, NoiseKey key,
                TransitionStep step);

void mask_steps(const float* xhat, const float* y, const float* mask, float* out, int64_t count, Descent descent);
void hdr_steps(const float* xhat, const float* y, float* out, int64_t count, float scale, bool surrogate, Descent descent);
void quantize_steps(const float* xhat, const float* y, float* out, int64_t count, float levels, Descent descent);

}  // namespace lmaps::LMAPS_ISA
