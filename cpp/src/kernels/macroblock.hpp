// One JPEG macroblock on chip: pixels <-> coefficients, both linear (the offsets of the format are left to the caller).
//
//     encode: 127.5 x -> YCbCr -> chroma subsampled -> DCT of every 8x8 block
//     decode: inverse DCT -> chroma repeated -> RGB / 127.5
//
// encode(decode(c)) = c to 1e-8: the colour matrices are inverses and subsampling undoes repetition.
#pragma once

#include "dct.hpp"
#include "table.hpp"

namespace lmaps::LMAPS_ISA {
namespace {

template <int kDown, int kAcross, bool kColour>
struct Macroblock {
  static constexpr int kHeight = 8 * kDown, kWidth = 8 * kAcross;
  static constexpr int kChannels = kColour ? 3 : 1;
  static constexpr int kLuma = kDown * kAcross;
  static constexpr int kBlocks = kColour ? kLuma + 2 : 1;
  static constexpr int kPairs = (kBlocks + 1) / 2;
  static constexpr bool kSubsampled = kColour && kLuma > 1;

  typedef float Pixels[kChannels][kHeight][kWidth];
  typedef float Chroma[2][kHeight][kWidth];
  typedef BlockPair Coefficients[kPairs];

  static LMAPS_INLINE float* row_of(Coefficients& to, int block, int row) { return &to[block / 2][row][block % 2 * 8]; }

  // Beyond `rows` and `columns` the last ones are repeated.
  static void read(Pixels& to, const float* from, int64_t plane, int64_t width, int rows, int columns) {
    for (int channel = 0; channel < kChannels; ++channel) {
      for (int i = 0; i < kHeight; ++i) {
        const float* row = from + channel * plane + (i < rows ? i : rows - 1) * width;
        memcpy(to[channel][i], row, sizeof(float) * static_cast<size_t>(columns));
        for (int j = columns; j < kWidth; ++j) to[channel][i][j] = row[columns - 1];
      }
    }
  }

  static void write(float* to, const Pixels& from, int64_t plane, int64_t width, int rows, int columns) {
    for (int channel = 0; channel < kChannels; ++channel) {
      for (int i = 0; i < rows; ++i) {
        memcpy(to + channel * plane + i * width, from[channel][i], sizeof(float) * static_cast<size_t>(columns));
      }
    }
  }

  static LMAPS_INLINE void full_chroma(Chroma& to, const Pixels& x) {
    for (int i = 0; i < kHeight; ++i) {
      for (int j = 0; j < kWidth; ++j) {
        const float r = 127.5f * x[0][i][j], g = 127.5f * x[1][i][j], b = 127.5f * x[2][i][j];
        to[0][i][j] = -0.1687f * r - 0.3313f * g + 0.5f * b;
        to[1][i][j] = 0.5f * r - 0.4187f * g - 0.0813f * b;
      }
    }
  }

  static LMAPS_INLINE float subsample(const float (&plane)[kHeight][kWidth], int i, int j, bool average) {
    if (!average) return plane[i * kDown][j * kAcross];
    float sum = 0.0f;
    for (int a = 0; a < kDown; ++a) {
      for (int b = 0; b < kAcross; ++b) sum += plane[i * kDown + a][j * kAcross + b];
    }
    return sum * (1.0f / kLuma);
  }

  static void encode(Coefficients& to, const Pixels& x, bool average) {
    if (kBlocks % 2) memset(to[kPairs - 1], 0, sizeof(BlockPair));
    for (int i = 0; i < kHeight; ++i) {
      for (int j = 0; j < kWidth; j += 8) {
        float* row = row_of(to, i / 8 * kAcross + j / 8, i % 8);
        for (int l = 0; l < 8; ++l) row[l] = 127.5f * luma(x, i, j + l);
      }
    }
    if constexpr (kColour) {
      Chroma chroma;
      full_chroma(chroma, x);
      for (int c = 0; c < 2; ++c) {
        for (int i = 0; i < 8; ++i) {
          float* row = row_of(to, kLuma + c, i);
          for (int j = 0; j < 8; ++j) row[j] = subsample(chroma[c], i, j, average);
        }
      }
    }
    for (BlockPair& pair : to) forward_dct(pair);
  }

  static LMAPS_INLINE float luma(const Pixels& x, int i, int j) {
    if constexpr (kColour) {
      return 0.299f * x[0][i][j] + 0.587f * x[1][i][j] + 0.114f * x[2][i][j];
    } else {
      return x[0][i][j];
    }
  }

  // The chroma of x that subsampling loses: chroma - repeated(subsampled(chroma)).
  static void lost_chroma(Chroma& to, const Pixels& x, bool average) {
    full_chroma(to, x);
    for (auto& plane : to) {
      for (int i = 0; i < 8; ++i) {
        for (int j = 0; j < 8; ++j) {
          const float kept = subsample(plane, i, j, average);
          for (int a = 0; a < kDown; ++a) {
            for (int b = 0; b < kAcross; ++b) plane[i * kDown + a][j * kAcross + b] -= kept;
          }
        }
      }
    }
  }

  // Overwrites the coefficients. `detail`, where there is one, is added to the chroma before it becomes RGB.
  static void decode(Pixels& to, Coefficients& from, const Chroma* detail) {
    for (BlockPair& pair : from) inverse_dct(pair);
    for (int i = 0; i < kHeight; ++i) {
      for (int j = 0; j < kWidth; j += 8) {
        const float* luma_row = row_of(from, i / 8 * kAcross + j / 8, i % 8);
        if constexpr (kColour) {
          const float* cb_row = row_of(from, kLuma, i / kDown) + j / kAcross;
          const float* cr_row = row_of(from, kLuma + 1, i / kDown) + j / kAcross;
          for (int l = 0; l < 8; ++l) {
            float cb = cb_row[l / kAcross], cr = cr_row[l / kAcross];
            if (detail) {
              cb += (*detail)[0][i][j + l];
              cr += (*detail)[1][i][j + l];
            }
            to[0][i][j + l] = (luma_row[l] - 3.681999e-5f * cb + 1.401987577f * cr) * (1.0f / 127.5f);
            to[1][i][j + l] = (luma_row[l] - 0.3441132813f * cb - 0.7141038211f * cr) * (1.0f / 127.5f);
            to[2][i][j + l] = (luma_row[l] + 1.771978117f * cb - 1.345834e-4f * cr) * (1.0f / 127.5f);
          }
        } else {
          for (int l = 0; l < 8; ++l) to[0][i][j + l] = luma_row[l] * (1.0f / 127.5f);
        }
      }
    }
  }
};

}  // namespace
}  // namespace lmaps::LMAPS_ISA
