// A complex Fourier transform of sixteen signals at once: a panel is [length][kPanel], real and imaginary parts apart, so that
// every operation is on whole registers and nothing is ever shuffled.
//
//     Z[k] = sum over j of z[j] exp(-2 pi i j k / length)
//
// Stockham's order: each pass reads one panel and writes the other, and the result comes out sorted.
#pragma once

#include "table.hpp"
#include "vec.hpp"

namespace lmaps::LMAPS_ISA {
namespace {

struct Panel {
  float* re;
  float* im;
};

struct Complexes {
  Floats re, im;
};

LMAPS_INLINE Complexes operator+(const Complexes& a, const Complexes& b) { return {a.re + b.re, a.im + b.im}; }
LMAPS_INLINE Complexes operator-(const Complexes& a, const Complexes& b) { return {a.re - b.re, a.im - b.im}; }
LMAPS_INLINE Complexes scaled(const Complexes& a, float s) { return {a.re * s, a.im * s}; }
LMAPS_INLINE Complexes turned(const Complexes& a) { return {a.im, -a.re}; }  // -i a
LMAPS_INLINE Complexes times(const Complexes& a, float re, float im) {
  return {a.re * re - a.im * im, a.re * im + a.im * re};
}

LMAPS_INLINE void butterfly(Complexes (&z)[2]) {
  const Complexes a = z[0], b = z[1];
  z[0] = a + b, z[1] = a - b;
}

LMAPS_INLINE void butterfly(Complexes (&z)[3]) {
  constexpr float kSine = 0.866025403784438647f;
  const Complexes sum = z[1] + z[2], slope = scaled(turned(z[1] - z[2]), kSine), middle = z[0] - scaled(sum, 0.5f);
  z[0] = z[0] + sum, z[1] = middle + slope, z[2] = middle - slope;
}

LMAPS_INLINE void butterfly(Complexes (&z)[4]) {
  const Complexes a = z[0] + z[2], b = z[0] - z[2], c = z[1] + z[3], d = turned(z[1] - z[3]);
  z[0] = a + c, z[1] = b + d, z[2] = a - c, z[3] = b - d;
}

LMAPS_INLINE void butterfly(Complexes (&z)[5]) {
  constexpr float kCos1 = 0.309016994374947424f, kCos2 = -0.809016994374947424f;
  constexpr float kSin1 = 0.951056516295153572f, kSin2 = 0.587785252292473129f;
  const Complexes s1 = z[1] + z[4], s2 = z[2] + z[3], d1 = turned(z[1] - z[4]), d2 = turned(z[2] - z[3]);
  const Complexes a = z[0] + scaled(s1, kCos1) + scaled(s2, kCos2), b = z[0] + scaled(s1, kCos2) + scaled(s2, kCos1);
  const Complexes c = scaled(d1, kSin1) + scaled(d2, kSin2), d = scaled(d1, kSin2) - scaled(d2, kSin1);
  z[0] = z[0] + s1 + s2, z[1] = a + c, z[2] = b + d, z[3] = b - d, z[4] = a - c;
}

LMAPS_INLINE void butterfly(Complexes (&z)[8]) {
  constexpr float kHalf = 0.707106781186547524f;
  Complexes even[4] = {z[0], z[2], z[4], z[6]}, odd[4] = {z[1], z[3], z[5], z[7]};
  butterfly(even);
  butterfly(odd);
  odd[1] = Complexes{(odd[1].re + odd[1].im) * kHalf, (odd[1].im - odd[1].re) * kHalf};
  odd[2] = turned(odd[2]);
  odd[3] = Complexes{(odd[3].im - odd[3].re) * kHalf, (odd[3].re + odd[3].im) * -kHalf};
  for (int i = 0; i < 4; ++i) z[i] = even[i] + odd[i], z[i + 4] = even[i] - odd[i];
}

LMAPS_INLINE Complexes load(const Panel& panel, int64_t at) { return {load(panel.re + at), load(panel.im + at)}; }
LMAPS_INLINE void store(const Panel& panel, int64_t at, const Complexes& z) {
  store(panel.re + at, z.re);
  store(panel.im + at, z.im);
}

// One pass: `groups` butterflies, each over `stride` rows of the panel.
template <int kRadix>
void fourier_pass(const FourierPass& pass, const Panel& from, const Panel& to) {
  const int64_t row = pass.stride * kPanel, leap = pass.groups * row;
  for (int64_t group = 0; group < pass.groups; ++group) {
    const float* const turn = pass.twiddles + group * 2 * (kRadix - 1);
    const int64_t in = group * row, out = group * kRadix * row;
    for (int64_t at = 0; at < row; at += kLanes) {
      Complexes z[kRadix];
      for (int k = 0; k < kRadix; ++k) z[k] = load(from, in + k * leap + at);
      butterfly(z);
      store(to, out + at, z[0]);
      for (int k = 1; k < kRadix; ++k) store(to, out + k * row + at, times(z[k], turn[2 * k - 2], turn[2 * k - 1]));
    }
  }
}

LMAPS_INLINE void exchange(Panel& a, Panel& b) {
  const Panel kept = a;
  a = b;
  b = kept;
}

// Transforms `panel`, using `spare` of the same size; the two change places as the passes go, and the result is in `panel`.
inline void fourier(const FourierPlan& plan, Panel& panel, Panel& spare) {
  for (int i = 0; i < plan.passes; ++i) {
    const FourierPass& pass = plan.pass[i];
    if (pass.radix == 2) fourier_pass<2>(pass, panel, spare);
    if (pass.radix == 3) fourier_pass<3>(pass, panel, spare);
    if (pass.radix == 4) fourier_pass<4>(pass, panel, spare);
    if (pass.radix == 5) fourier_pass<5>(pass, panel, spare);
    if (pass.radix == 8) fourier_pass<8>(pass, panel, spare);
    exchange(panel, spare);
  }
}

// The inverse without its factor 1 / length: the forward transform with real and imaginary parts in each other's place.
inline void inverse_fourier(const FourierPlan& plan, Panel& panel, Panel& spare) {
  Panel swapped{panel.im, panel.re}, other{spare.im, spare.re};
  fourier(plan, swapped, other);
  panel = {swapped.im, swapped.re};
  spare = {other.im, other.re};
}

// A square of kLanes x kLanes transposed: interleaving the two halves of the rows moves one bit of the row number into the
// column number, and it has log2(kLanes) of them.
LMAPS_INLINE void transpose(Floats (&rows)[kLanes]) {
  for (int bits = 1; bits < kLanes; bits *= 2) {
    Floats next[kLanes];
    for (int i = 0; i < kLanes / 2; ++i) {
      const Pair pair = interleave(rows[i], rows[i + kLanes / 2]);
      next[2 * i] = pair.first;
      next[2 * i + 1] = pair.second;
    }
    for (int i = 0; i < kLanes; ++i) rows[i] = next[i];
  }
}

}  // namespace
}  // namespace lmaps::LMAPS_ISA
