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

// What a JPEG setting means for a macroblock. The coefficients of its 8x8 blocks lie two blocks side by side, [pair][8][16],
// each block transposed: luminance blocks in reading order, then Cb, then Cr.
struct JpegSetup {
  bool colour;   // 3 channels; otherwise one, of which all is luminance
  int down;      // rows and columns of pixels that share one chroma value
  int across;
  bool average;  // that value is their mean; otherwise the first one's
  float table[3 * 128];
  float inverse[3 * 128];  // 1 / table
  float shift[3 * 128];    // what the offsets of the format add to a coefficient
};

// A row of macroblocks of one image: `rows` of them are in the picture; channels are `plane` entries apart.
struct JpegRow {
  int64_t plane;
  int64_t width;
  int rows;
};

// m = prior + data * eigenvalue
struct SpectralStep {
  double prior;  // 1 - r
  double data;   // r k2
  double eta;
  int64_t steps;
  bool exact;  // the minimum itself, whatever eta and steps
};

constexpr int kReadAhead = 16;

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

  // Pointers are at the first row of the macroblocks, in the image's first channel.
  void (*jpeg_steps)(const float* xhat, const float* y, float* out, const JpegRow& row, const JpegSetup& setup,
                     Descent descent);
  void (*jpeg_forward)(const float* x, float* out, const JpegRow& row, const JpegSetup& setup);

  // to[i] = sum over t of weights[t] * rows[t][i], added to what is there where `add`. Every row must be readable for
  // kReadAhead entries beyond `count`.
  void (*weighted_rows)(float* to, int64_t count, const float* const* rows, const float* weights, int64_t taps, bool add);
  // d -= prior * d + data * pull
  void (*descend_row)(float* d, const float* pull, int64_t count, Descent descent);

  // z holds `count` complex numbers: z -= y z / |z|.
  void (*phase_middle)(float* z, const float* y, int64_t count);

  void (*spectral_gain)(const float* eigenvalues, float* gain, int64_t count, SpectralStep step);
  // out = c + gain * (b - eigenvalue * c), of `count` real or complex numbers.
  void (*spectral_apply)(const float* c, const float* b, const float* eigenvalues, const float* gain, float* out,
                         int64_t count);
  void (*spectral_apply_complex)(const float* c, const float* b, const float* eigenvalues, const float* gain, float* out,
                                 int64_t count);
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
