// Included by vec.hpp: the vector types of GCC and Clang, with the few operations they lack written as intrinsics.
typedef float Floats __attribute__((vector_size(4 * kLanes)));
typedef int32_t Ints __attribute__((vector_size(4 * kLanes)));
typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));
typedef uint64_t Wides __attribute__((vector_size(4 * kLanes)));  // kLanes / 2 of them
typedef double Doubles __attribute__((vector_size(4 * kLanes)));  // kLanes / 2 of them

LMAPS_INLINE Floats select(Ints mask, Floats a, Floats b) { return mask ? a : b; }
LMAPS_INLINE Floats as_floats(Words v) { return (Floats)v; }
LMAPS_INLINE Words as_words(Floats v) { return (Words)v; }
LMAPS_INLINE Words as_words(Wides v) { return (Words)v; }
LMAPS_INLINE Wides as_wides(Words v) { return (Wides)v; }
LMAPS_INLINE Floats to_floats(Words v) { return __builtin_convertvector((Ints)v, Floats); }  // values below 2^31
LMAPS_INLINE Words to_words(Floats v) { return (Words)__builtin_convertvector(v, Ints); }    // values in [0, 2^31)

#if defined(__AVX512F__)
LMAPS_INLINE Floats minimum(Floats a, Floats b) { return _mm512_min_ps(a, b); }
LMAPS_INLINE Floats maximum(Floats a, Floats b) { return _mm512_max_ps(a, b); }
LMAPS_INLINE Floats square_root(Floats v) { return _mm512_sqrt_ps(v); }
LMAPS_INLINE Floats round_even(Floats v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
LMAPS_INLINE Floats round_down(Floats v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
LMAPS_INLINE Wides multiply_low_halves(Wides a, Wides b) { return (Wides)_mm512_mul_epu32((__m512i)a, (__m512i)b); }
#elif defined(__AVX2__)
LMAPS_INLINE Floats minimum(Floats a, Floats b) { return _mm256_min_ps(a, b); }
LMAPS_INLINE Floats maximum(Floats a, Floats b) { return _mm256_max_ps(a, b); }
LMAPS_INLINE Floats square_root(Floats v) { return _mm256_sqrt_ps(v); }
LMAPS_INLINE Floats round_even(Floats v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
LMAPS_INLINE Floats round_down(Floats v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
LMAPS_INLINE Wides multiply_low_halves(Wides a, Wides b) { return (Wides)_mm256_mul_epu32((__m256i)a, (__m256i)b); }
#else
#if defined(__SSE2__)
LMAPS_INLINE Floats minimum(Floats a, Floats b) { return _mm_min_ps(a, b); }
LMAPS_INLINE Floats maximum(Floats a, Floats b) { return _mm_max_ps(a, b); }
LMAPS_INLINE Floats square_root(Floats v) { return _mm_sqrt_ps(v); }
#else
LMAPS_INLINE Floats minimum(Floats a, Floats b) { return select(a < b, a, b); }
LMAPS_INLINE Floats maximum(Floats a, Floats b) { return select(a > b, a, b); }
LMAPS_INLINE Floats square_root(Floats v) {
  for (int i = 0; i < kLanes; ++i) v[i] = __builtin_sqrtf(v[i]);
  return v;
}
#endif

// Adding 2^23 leaves no room for a fraction, so the processor's own rounding (to even) takes it off. Floats of 2^23 and
// more have none.
LMAPS_INLINE Floats round_even(Floats v) {
  const Words sign = as_words(v) & 0x80000000u;
  const Floats magnitude = as_floats(as_words(v) ^ sign);
  const Floats rounded = as_floats(as_words((magnitude + 8388608.0f) - 8388608.0f) | sign);
  return select(magnitude < 8388608.0f, rounded, v);
}

LMAPS_INLINE Floats round_down(Floats v) {
  const Floats rounded = round_even(v);
  return select(rounded > v, rounded - 1.0f, rounded);
}

LMAPS_INLINE Wides multiply_low_halves(Wides a, Wides b) {
#if defined(__SSE2__)
  return (Wides)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
  return (a & 0xFFFFFFFFull) * (b & 0xFFFFFFFFull);
#endif
}
#endif

// a0 b0 a1 b1 ... : the first and the second half of the interleaved pair.
struct Pair {
  Floats first, second;
};

LMAPS_INLINE Pair interleave(Floats a, Floats b) {
#if defined(__AVX512F__)
  return {__builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
          __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)};
#elif defined(__AVX2__)
  return {__builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11), __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)};
#else
  return {__builtin_shufflevector(a, b, 0, 4, 1, 5), __builtin_shufflevector(a, b, 2, 6, 3, 7)};
#endif
}

// The inverse of interleave: the even and the odd entries of first ++ second.
LMAPS_INLINE Pair separate(Floats a, Floats b) {
#if defined(__AVX512F__)
  return {__builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30),
          __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)};
#elif defined(__AVX2__)
  return {__builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14), __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)};
#else
  return {__builtin_shufflevector(a, b, 0, 2, 4, 6), __builtin_shufflevector(a, b, 1, 3, 5, 7)};
#endif
}
