// What every transform of a half spectrum is made of: two real columns as one complex signal, and rows turned into panels.
#pragma once

#include "fourier.hpp"

namespace lmaps::LMAPS_ISA {
namespace {

// Real column a in the real part, real column b in the imaginary part.
struct Work {
  Panel panel, spare;
};

LMAPS_INLINE Work work_in(float* scratch, int64_t length) {
  const int64_t size = length * kPanel;
  return {{scratch, scratch + size}, {scratch + 2 * size, scratch + 3 * size}};
}

// The transforms of the two real signals in a complex one, twice each: A = Z[k] + conj Z[n - k], B = -i (Z[k] - conj Z[n - k]).
inline void split(const Panel& z, int64_t length, const HalfSpectrum& to, int64_t first) {
  for (int64_t k = 0; 2 * k <= length; ++k) {
    const int64_t here = k * kPanel, there = (k == 0 ? 0 : length - k) * kPanel, at = k * to.stride + first;
    for (int i = 0; i < kPanel; i += kLanes) {
      const Complexes p = load(z, here + i), q = load(z, there + i);
      store(to.re + at + i, p.re + q.re);
      store(to.im + at + i, p.im - q.im);
      store(to.re + at + kPanel + i, p.im + q.im);
      store(to.im + at + kPanel + i, q.re - p.re);
    }
  }
}

// The other way: Z[k] = A + i B and Z[n - k] = conj A + i conj B.
inline void join(const HalfSpectrum& from, int64_t first, int64_t length, const Panel& z) {
  for (int64_t k = 0; 2 * k <= length; ++k) {
    const int64_t here = k * kPanel, there = (length - k) * kPanel, at = k * from.stride + first;
    const bool two = k > 0 && 2 * k < length;
    for (int i = 0; i < kPanel; i += kLanes) {
      const Floats a_re = load(from.re + at + i), a_im = load(from.im + at + i);
      const Floats b_re = load(from.re + at + kPanel + i), b_im = load(from.im + at + kPanel + i);
      store(z, here + i, {a_re - b_im, a_im + b_re});
      if (two) store(z, there + i, {a_re + b_im, b_re - a_im});
    }
  }
}

// A panel of `rows` rows (at most kPanel) of which only the first `columns` are there; the rest is zero.
LMAPS_INLINE void turn_in(const float* from, int64_t stride, int64_t rows, int64_t columns, int64_t length, float* to) {
  for (int64_t i = 0; i < kPanel; i += kLanes) {
    for (int64_t j = 0; j < length; j += kLanes) {
      Floats tile[kLanes];
      for (int k = 0; k < kLanes; ++k) tile[k] = i + k < rows && j < columns ? load(from + (i + k) * stride + j) : Floats{};
      transpose(tile);
      const int64_t most = length - j < kLanes ? length - j : kLanes;
      for (int64_t k = 0; k < most; ++k) store(to + (j + k) * kPanel + i, tile[k]);
    }
  }
}

// And back: the first `columns` of them.
LMAPS_INLINE void turn_out(const float* from, int64_t stride, int64_t rows, int64_t columns, int64_t length, float* to) {
  for (int64_t i = 0; i < kPanel && i < rows; i += kLanes) {
    for (int64_t j = 0; j < columns; j += kLanes) {
      Floats tile[kLanes];
      for (int64_t k = 0; k < kLanes; ++k) tile[k] = j + k < length ? load(from + (j + k) * kPanel + i) : Floats{};
      transpose(tile);
      const int64_t most = rows - i < kLanes ? rows - i : kLanes;
      for (int64_t k = 0; k < most; ++k) store(to + (i + k) * stride + j, tile[k]);
    }
  }
}

// Panels of rows, from a spectrum and back to it.
inline void take_rows(const HalfSpectrum& spectrum, const SpectrumRows& rows, int64_t length, const Panel& to) {
  const int64_t at = rows.first * spectrum.stride;
  turn_in(spectrum.re + at, spectrum.stride, rows.count, rows.columns_in, length, to.re);
  turn_in(spectrum.im + at, spectrum.stride, rows.count, rows.columns_in, length, to.im);
}

inline void give_rows(const Panel& from, const SpectrumRows& rows, int64_t length, const HalfSpectrum& spectrum) {
  const int64_t at = rows.first * spectrum.stride;
  turn_out(from.re, spectrum.stride, rows.count, rows.columns_out, length, spectrum.re + at);
  turn_out(from.im, spectrum.stride, rows.count, rows.columns_out, length, spectrum.im + at);
}

}  // namespace
}  // namespace lmaps::LMAPS_ISA
