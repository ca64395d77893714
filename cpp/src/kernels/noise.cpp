// Philox4x32-10 words, Box-Muller normals, and the transition that uses them.
//
// Compiled without fused multiply-adds: the numbers then have the same bits on every processor.
#include "kernels.hpp"
#include "vec.hpp"

namespace lmaps::LMAPS_ISA {
namespace {

constexpr uint64_t kLow = 0xFFFFFFFFull;

// Counters of kLanes / 2 blocks, each 32-bit word in a 64-bit lane whose upper half is not kept clean.
struct Counter {
  Wides c0, c1, c2, c3;
};

LMAPS_INLINE Counter ten_rounds(Counter c, uint64_t seed) {
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  const Wides m0 = Wides{} + 0xD2511F53ull, m1 = Wides{} + 0xCD9E8D57ull;
  for (int round = 0; round < 10; ++round) {
    const Wides p0 = multiply_low_halves(c.c0, m0);
    const Wides p1 = multiply_low_halves(c.c2, m1);
    c = {(p1 >> 32) ^ c.c1 ^ uint64_t{k0}, p1, (p0 >> 32) ^ c.c3 ^ uint64_t{k1}, p0};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

LMAPS_INLINE Words merge(Wides even, Wides odd) { return as_words((even & kLow) | (odd << 32)); }

// The words of the kLanes blocks from `first` on; lane i holds block first + i.
struct FourWords {
  Words w0, w1, w2, w3;
};

LMAPS_INLINE FourWords words_of(uint32_t first, NoiseKey key, uint32_t top) {
  Wides even{}, odd{};
  for (int i = 0; i < kLanes / 2; ++i) {
    even[i] = first + static_cast<uint32_t>(2 * i);
    odd[i] = first + static_cast<uint32_t>(2 * i + 1);
  }
  const Wides step = Wides{} + uint64_t{key.step}, stream = Wides{} + uint64_t{key.stream}, last = Wides{} + uint64_t{top};
  const Counter a = ten_rounds({even, step, stream, last}, key.seed);
  const Counter b = ten_rounds({odd, step, stream, last}, key.seed);
  return {merge(a.c0, b.c0), merge(a.c1, b.c1), merge(a.c2, b.c2), merge(a.c3, b.c3)};
}

LMAPS_INLINE Floats uniform(Words w) { return (to_floats(w >> 8) + 0.5f) * 0x1p-24f; }

// ln u for u in [2^-25, 1]: u = 2^e m with m in [sqrt(1/2), sqrt(2)), ln m = 2 artanh(s) with s = (m - 1) / (m + 1).
LMAPS_INLINE Floats logarithm(Floats u) {
  const Words offset = as_words(u) - 0x3F3504F3u;  // the bits of sqrt(1/2)
  const Floats exponent = to_floats((offset >> 23) ^ 0x100u) - 256.0f;
  const Floats m = as_floats((offset & 0x007FFFFFu) + 0x3F3504F3u);
  const Floats f = m - 1.0f;
  const Floats s = f / (f + 2.0f);
  const Floats z = s * s;
  const Floats series = ((0.23587415f * z + 0.28537047f) * z + 0.40000339f) * z + 0.66666666f;
  const Floats tail = s * z * series;
  return exponent * 0.693359375f + (2.0f * s + (tail - exponent * 2.12194440e-4f));
}

// cos and sin of an angle in [0, 2 pi]: the nearest multiple of pi / 2 is taken off in two exact pieces.
struct CosSin {
  Floats cos, sin;
};

LMAPS_INLINE CosSin cos_sin(Floats angle) {
  const Floats quarter = round_even(angle * 0.636619772f);
  const Floats r = (angle - quarter * 1.5703125f) - quarter * 4.8382679e-4f;
  const Floats z = r * r;
  const Floats sine = r + r * z * ((-0.00019514f * z + 0.00833216f) * z - 0.16666655f);
  const Floats cosine = 1.0f - 0.5f * z + z * z * ((2.44348460e-5f * z - 1.38873371e-3f) * z + 4.16666463e-2f);
  const Words q = to_words(quarter);
  const Words swap = Words{} - (q & 1u);  // all ones where sine and cosine change places
  const Words a = as_words(cosine), b = as_words(sine);
  const Words cos_bits = (a & (swap ^ 0xFFFFFFFFu)) | (b & swap), sin_bits = (b & (swap ^ 0xFFFFFFFFu)) | (a & swap);
  return {as_floats(cos_bits ^ (((q + 1u) & 2u) << 30)), as_floats(sin_bits ^ ((q & 2u) << 30))};
}

struct FourNormals {
  Floats n[4];  // numbers 4 * block .. in the order of the stream
};

LMAPS_INLINE FourNormals normals_of(uint32_t first, NoiseKey key) {
  const FourWords w = words_of(first, key, 0);
  const Floats r0 = square_root(-2.0f * logarithm(uniform(w.w0)));
  const Floats r1 = square_root(-2.0f * logarithm(uniform(w.w2)));
  const CosSin a = cos_sin(6.28318531f * uniform(w.w1));
  const CosSin b = cos_sin(6.28318531f * uniform(w.w3));
  const Pair even = interleave(r0 * a.cos, r1 * b.cos), odd = interleave(r0 * a.sin, r1 * b.sin);
  const Pair low = interleave(even.first, odd.first), high = interleave(even.second, odd.second);
  return {{low.first, low.second, high.first, high.second}};
}

constexpr int kBlock = 4 * kLanes;

}  // namespace

void philox_words(uint32_t* out, int64_t blocks, NoiseKey key, uint32_t first, uint32_t top) {
  for (int64_t i = 0; i < blocks; i += kLanes) {
    const FourWords w = words_of(first + static_cast<uint32_t>(i), key, top);
    for (int lane = 0; lane < kLanes && i + lane < blocks; ++lane) {
      uint32_t* to = out + 4 * (i + lane);
      to[0] = w.w0[lane];
      to[1] = w.w1[lane];
      to[2] = w.w2[lane];
      to[3] = w.w3[lane];
    }
  }
}

void normal(float* out, int64_t begin, int64_t count, NoiseKey key) {
  for (int64_t i = 0; i < count; i += kBlock) {
    const FourNormals four = normals_of(static_cast<uint32_t>((begin + i) / 4), key);
    const int64_t left = count - i;
    memcpy(out + i, &four, sizeof(float) * static_cast<size_t>(left < kBlock ? left : kBlock));
  }
}

void transition(const float* x0, const float* x, float* out, int64_t begin, int64_t count, NoiseKey key,
                TransitionStep step) {
  const float* const in[2] = {x0, x};
  for_blocks<kBlock>(in, out, count, [&](const float* const* at, float* to, int64_t i) {
    const FourNormals four = normals_of(static_cast<uint32_t>((begin + i) / 4), key);
    for (int j = 0; j < 4; ++j) {
      const Floats clean = load(at[0] + j * kLanes), noisy = load(at[1] + j * kLanes);
      store(to + j * kLanes, clean + (step.drift * (noisy - clean) + step.spread * four.n[j]));
    }
  });
}

}  // namespace lmaps::LMAPS_ISA
