// Orthonormal DCT-II of 8x8 blocks and its inverse, two blocks side by side in an [8][16] pair.
//
// The transform leaves its coefficients transposed, [horizontal frequency][vertical frequency], which saves one
// transposition each way; tables of the coefficients are laid out to match.
#pragma once

#include "vec.hpp"

namespace lmaps::LMAPS_ISA {
namespace {

typedef float BlockPair[8][16];

// cos(k pi / 16) / 2, and sqrt(1/8) = cos(4 pi / 16) / 2.
constexpr float kC1 = 0.490392640201615f, kC2 = 0.461939766255643f, kC3 = 0.415734806151273f, kC4 = 0.353553390593274f;
constexpr float kC5 = 0.277785116509801f, kC6 = 0.191341716182545f, kC7 = 0.097545161008064f;

LMAPS_INLINE void forward_columns(BlockPair& p) {
  for (int c = 0; c < 16; c += kLanes) {
    Floats x[8];
    for (int i = 0; i < 8; ++i) x[i] = load(&p[i][c]);
    const Floats s0 = x[0] + x[7], s1 = x[1] + x[6], s2 = x[2] + x[5], s3 = x[3] + x[4];
    const Floats d0 = x[0] - x[7], d1 = x[1] - x[6], d2 = x[2] - x[5], d3 = x[3] - x[4];
    const Floats a = s0 + s3, b = s1 + s2, e = s0 - s3, f = s1 - s2;
    store(&p[0][c], kC4 * (a + b));
    store(&p[1][c], kC1 * d0 + kC3 * d1 + kC5 * d2 + kC7 * d3);
    store(&p[2][c], kC2 * e + kC6 * f);
    store(&p[3][c], kC3 * d0 - kC7 * d1 - kC1 * d2 - kC5 * d3);
    store(&p[4][c], kC4 * (a - b));
    store(&p[5][c], kC5 * d0 - kC1 * d1 + kC7 * d2 + kC3 * d3);
    store(&p[6][c], kC6 * e - kC2 * f);
    store(&p[7][c], kC7 * d0 - kC5 * d1 + kC3 * d2 - kC1 * d3);
  }
}

LMAPS_INLINE void inverse_columns(BlockPair& p) {
  for (int c = 0; c < 16; c += kLanes) {
    Floats x[8];
    for (int i = 0; i < 8; ++i) x[i] = load(&p[i][c]);
    const Floats a = kC4 * (x[0] + x[4]), b = kC4 * (x[0] - x[4]);
    const Floats e = kC2 * x[2] + kC6 * x[6], f = kC6 * x[2] - kC2 * x[6];
    const Floats s0 = a + e, s1 = b + f, s2 = b - f, s3 = a - e;
    const Floats d0 = kC1 * x[1] + kC3 * x[3] + kC5 * x[5] + kC7 * x[7];
    const Floats d1 = kC3 * x[1] - kC7 * x[3] - kC1 * x[5] - kC5 * x[7];
    const Floats d2 = kC5 * x[1] - kC1 * x[3] + kC7 * x[5] + kC3 * x[7];
    const Floats d3 = kC7 * x[1] - kC5 * x[3] + kC3 * x[5] - kC1 * x[7];
    store(&p[0][c], s0 + d0);
    store(&p[1][c], s1 + d1);
    store(&p[2][c], s2 + d2);
    store(&p[3][c], s3 + d3);
    store(&p[4][c], s3 - d3);
    store(&p[5][c], s2 - d2);
    store(&p[6][c], s1 - d1);
    store(&p[7][c], s0 - d0);
  }
}

LMAPS_INLINE void transpose_blocks(BlockPair& p) {
  BlockPair t;
  for (int half = 0; half < 16; half += 8) {
    for (int i = 0; i < 8; ++i) {
      for (int j = 0; j < 8; ++j) t[j][half + i] = p[i][half + j];
    }
  }
  memcpy(p, t, sizeof t);
}

void forward_dct(BlockPair& p) {
  forward_columns(p);
  transpose_blocks(p);
  forward_columns(p);
}

void inverse_dct(BlockPair& p) {
  inverse_columns(p);
  transpose_blocks(p);
  inverse_columns(p);
}

}  // namespace
}  // namespace lmaps::LMAPS_ISA
