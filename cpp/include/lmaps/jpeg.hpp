// JPEG as a measurement, H(x) = decode(encode(x)), and the inner problem (types.hpp, Inner) for it with J = I (Eq. 17).
//
//     encode: 255 (x + 1) / 2 -> YCbCr -> chroma subsampled -> 8x8 blocks - 128 -> orthonormal DCT-II
//             -> round to even of coefficient / table
//     decode: times the table, inverse DCT, + 128, chroma repeated, RGB, back to [-1, 1]
//
// Nothing is clipped and nothing rounded to 8 bits, as in the reference set-up (ddrm-jpeg, RED-diff), so H(x) may leave [-1, 1].
// Sides that are not whole macroblocks are extended inside H by repeating the last row and column, and cropped again.
#pragma once

#include "lmaps/types.hpp"

namespace lmaps {

struct JpegFormat {
  const float* luma_table = nullptr;  // [8, 8], row = vertical frequency; every entry > 0
  const float* cb_table = nullptr;    // [8, 8]; the chroma tables may be null for pictures with one channel
  const float* cr_table = nullptr;
  int chroma_down = 2;    // rows and columns of pixels that share a chroma value, J:a:b in the usual notation:
  int chroma_across = 2;  // 4:4:4 is (1, 1), 4:2:2 (1, 2), 4:2:0 (2, 2), 4:4:0 (2, 1), 4:1:1 (1, 4)
  bool average = false;   // that value is the mean of the group's; otherwise the first one's (the reference set-up)
};

// xhat, y, out: [shape] with 3 channels (RGB) or 1 (grey, luminance alone). Throws std::invalid_argument naming the argument.
void jpeg_steps(const float* xhat, const float* y, float* out, Shape shape, const JpegFormat& format, Inner inner);

// out = H(x)
void jpeg_forward(const float* x, float* out, Shape shape, const JpegFormat& format);

}  // namespace lmaps
