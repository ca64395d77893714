// The kernels of one instruction set, as a table of functions. Each works on a range; the callers in src/ check the
// arguments, split the work and run it on threads.
#pragma once

#include <stdint.h>

namespace lmaps {

struct NoiseKey {
  uint64_t seed;
  uint32_t step;
  uint32_t stream;
};

// x_next = x0 + drift * (x - x0) + spread * n
struct TransitionStep {
  float drift;
  float spread;
};

// One inner problem in the form d <- d - (prior * d + data * J^T(H(xhat + d) - y)), d = x - xhat from 0: small moves keep
// their digits that way.
struct Descent {
  float prior;  // eta (1 - r)
  float data;   // eta r k2
  int64_t steps;
};

struct Kernels {
  // Counters (first + i, step, stream, top), i < blocks -> 4 * blocks words.
  void (*philox_words)(uint32_t* out, int64_t blocks, NoiseKey key, uint32_t first, uint32_t top);
  // Numbers [begin, begin + count) of a stream; begin must be a multiple of 4.
  void (*normal)(float* out, int64_t begin, int64_t count, NoiseKey key);
  // The same numbers, fused into the transition. All pointers are at entry `begin`.
  void (*transition)(const float* x0, const float* x, float* out, int64_t begin, int64_t count, NoiseKey key,
                     TransitionStep step);

  void (*mask_steps)(const float* xhat, const float* y, const float* mask, float* out, int64_t count, Descent descent);
  void (*hdr_steps)(const float* xhat, const float* y, float* out, int64_t count, float scale, bool surrogate,
                    Descent descent);
  void (*quantize_steps)(const float* xhat, const float* y, float* out, int64_t count, float levels, Descent descent);
};

namespace plain {
extern const Kernels table;
}
namespace avx2 {
extern const Kernels table;
}
namespace avx512 {
extern const Kernels table;
}

}  // namespace lmaps
