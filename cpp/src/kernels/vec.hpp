// One register's worth of numbers, for whatever instruction set this file is being compiled for.
//
// Kernel files are compiled once for each instruction set, each time into its own namespace LMAPS_ISA. Nothing here may
// become a symbol that the linker could share between them (code for AVX-512 would then run on a processor that lacks it):
// everything is in an unnamed namespace, and no standard header with inline functions is included.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "lmaps_core packs pairs of 32-bit words into 64-bit lanes and assumes a little-endian processor"
#endif

#if !defined(LMAPS_STANDARD_ONLY) && defined(__GNUC__)
#define LMAPS_VECTOR_EXTENSIONS 1
#endif
#if defined(LMAPS_VECTOR_EXTENSIONS) && defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__GNUC__)
#define LMAPS_INLINE inline __attribute__((always_inline))
#else
#define LMAPS_INLINE inline
#endif
#if !defined(LMAPS_VECTOR_EXTENSIONS)
#include <math.h>
#endif

namespace lmaps::LMAPS_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

#if defined(LMAPS_VECTOR_EXTENSIONS)
#include "vec_extensions.inl"
#else
#include "vec_standard.inl"
#endif

LMAPS_INLINE Floats load(const float* from) {
  Floats v;
  memcpy(&v, from, sizeof v);
  return v;
}

LMAPS_INLINE void store(float* to, Floats v) { memcpy(to, &v, sizeof v); }

LMAPS_INLINE Floats splat(float value) { return Floats{} + value; }

LMAPS_INLINE Floats magnitude(Floats v) { return as_floats(as_words(v) & 0x7FFFFFFFu); }
LMAPS_INLINE Floats clip(Floats v, float low, float high) { return minimum(maximum(v, splat(low)), splat(high)); }

// Runs `block(at, to, index)` on consecutive blocks of kBlock floats: at[j] points at input j's block, `to` at the output's.
// The last, shorter block goes through zero-padded copies, so the arithmetic on an entry never depends on where it lies.
template <int kBlock, int kInputs, class Block>
LMAPS_INLINE void for_blocks(const float* const (&in)[kInputs], float* out, int64_t count, const Block& block) {
  int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    const float* at[kInputs];
    for (int j = 0; j < kInputs; ++j) at[j] = in[j] + i;
    block(at, out + i, i);
  }
  if (i == count) return;
  const size_t bytes = static_cast<size_t>(count - i) * sizeof(float);
  float padded[kInputs][kBlock] = {};
  float result[kBlock];
  const float* at[kInputs];
  for (int j = 0; j < kInputs; ++j) {
    memcpy(padded[j], in[j] + i, bytes);
    at[j] = padded[j];
  }
  block(at, result, i);
  memcpy(out + i, result, bytes);
}

}  // namespace
}  // namespace lmaps::LMAPS_ISA
