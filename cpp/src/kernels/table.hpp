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

// Signals that a Fourier transform handles side by side.
constexpr int kPanel = 16;
constexpr int kMostPasses = 32;

// A pass of a Fourier transform: butterflies of `radix` rows, `groups` of them over runs of `stride` rows. twiddles holds
// radix - 1 factors (real, imaginary) a group.
struct FourierPass {
  int radix;
  int64_t groups;
  int64_t stride;
  const float* twiddles;
};

struct FourierPlan {
  int64_t length;
  int passes;
  FourierPass pass[kMostPasses];
};

// The half spectrum of real planes, transformed down the columns only: [length / 2 + 1][stride], parts apart.
struct HalfSpectrum {
  float* re;
  float* im;
  int64_t stride;
};

// Rows [first, first + count) of a half spectrum, count <= kPanel. Only the first columns_in entries of a row are not zero, and
// only the first columns_out are wanted; both are whole strips of 2 kPanel columns.
struct SpectrumRows {
  int64_t first;
  int64_t count;
  int64_t columns_in;
  int64_t columns_out;
};

// Columns [first, first + 2 kPanel) of a picture in the corner of a larger field.
struct PictureColumns {
  int64_t first;
  int64_t height;
  int64_t width;
};

// A panel of a response, [length][kPanel], parts apart.
struct Factors {
  const float* re;
  const float* im;
};

constexpr int kMostResponses = 16;

struct Recurrence {
  float alpha, beta, gamma, weight;
};

// Where each row and column of an extended plane lies in the plane itself (rows of `width` entries); -1 for zero.
struct Extended {
  const float* plane;
  int64_t width;
  const int32_t* rows;
  const int32_t* columns;
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

  // Pointers are at the first row of the macroblocks, in the image's first channel.
  void (*jpeg_steps)(const float* xhat, const float* y, float* out, const JpegRow& row, const JpegSetup& setup,
                     Descent descent);
  void (*jpeg_forward)(const float* x, float* out, const JpegRow& row, const JpegSetup& setup);

  // to[i] = sum over t of weights[t] * rows[t][i], added to what is there where `add`. Every row must be readable for
  // kReadAhead entries beyond `count`.
  void (*weighted_rows)(float* to, int64_t count, const float* const* rows, const float* weights, int64_t taps, bool add);
  // d -= prior * d + data * pull
  void (*descend_row)(float* d, const float* pull, int64_t count, Descent descent);

  // Columns [first, first + 2 kPanel) of an extended plane to the half spectrum. scratch: 4 * length * kPanel floats.
  void (*columns_in)(const FourierPlan& plan, const Extended& from, int64_t first, const HalfSpectrum& to, float* scratch);
  // Back, zero outside the first `height` rows and `width` columns, and to the half spectrum again.
  void (*columns_crop)(const FourierPlan& plan, const HalfSpectrum& spectrum, int64_t first, int64_t height, int64_t width,
                       float* scratch);
  // Back, each row added to row rows[i] of `to` (none where -1), which is zero before: [height][to_stride].
  void (*columns_out)(const FourierPlan& plan, const HalfSpectrum& from, int64_t first, const int32_t* rows, float* to,
                      int64_t to_stride, float* scratch);
  // Rows of the half spectrum, transformed, multiplied by the response, conjugated where asked for, and transformed back.
  void (*rows_times)(const FourierPlan& plan, const HalfSpectrum& spectrum, const SpectrumRows& rows, Factors response,
                     bool conjugate, float* scratch);
  // Rows of spectra[0], transformed once, multiplied by each response and transformed back, to spectra[0 .. count - 1].
  // scratch: 6 * length * kPanel floats.
  void (*rows_spread)(const FourierPlan& plan, const Factors* responses, const HalfSpectrum* spectra, int64_t count,
                      const SpectrumRows& rows, float* scratch);
  // The other way, with the responses conjugated: the sum over spectra[0 .. count - 1], transformed back once, to spectra[0].
  void (*rows_gather)(const FourierPlan& plan, const Factors* responses, const HalfSpectrum* spectra, int64_t count,
                      const SpectrumRows& rows, float* scratch);
  // next = alpha * pulled + beta * now + gamma * next;  sum += weight * next.
  void (*recur)(const float* pulled, const float* now, float* next, float* sum, int64_t count, Recurrence step);

  // u = (x + 1) / 2 in linear light.
  void (*camera_light)(const float* x, float* light, int64_t count);
  // Of v = sum over s of weights[s] mixed[s], the light of a blurred row: pulls[s] = weights[s] dH/dv (H - y), H what the camera
  // makes of v.
  void (*camera_misfit)(const float* const* mixed, const float* const* weights, int64_t shakes, const float* y,
                        float* const* pulls, int64_t count);
  // x += pull (xhat - x) - push g dlight/dx, and its light.
  void (*camera_descend)(const float* g, const float* xhat, float* x, float* light, int64_t count, float pull, float push);

  // z holds `count` complex numbers: z -= y z / |z|.
  void (*phase_middle)(float* z, const float* y, int64_t count);
  // The same between the transforms of rows of a half spectrum and back; y is [length][kPanel].
  void (*rows_phase)(const FourierPlan& plan, const HalfSpectrum& spectrum, const SpectrumRows& rows, const float* y,
                     float* scratch);
  // to = from [rows][columns], [length][kPanel] with zeros beyond.
  void (*turn_rows)(const float* from, int64_t columns, int64_t rows, int64_t length, float* to);
  // Columns [first, first + 2 kPanel) of scale (x + 1) to the half spectrum, zero outside the picture.
  void (*picture_in)(const FourierPlan& plan, const PictureColumns& columns, float scale, const float* x,
                     const HalfSpectrum& to, float* scratch);
  // The picture's part g of the spectrum's inverse, and x += pull (xhat - x) - push g.
  void (*picture_descend)(const FourierPlan& plan, const PictureColumns& columns, float pull, float push, const float* xhat,
                          float* x, const HalfSpectrum& from, float* scratch);

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
