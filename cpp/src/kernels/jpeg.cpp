// JPEG steps with J = I (Eq. 17), a row of macroblocks at a time.
//
// Let T be the encoder and M the decoder without rounding; T M = I. With s = T d the steps of a whole macroblock become
//
//     s <- s - (prior s + data (q round((T xhat + s) / q) - T y)),            one coefficient on its own,
//
// because H(x) = M q round(T x / q) lies in the range of M. What of d lies outside (chroma that subsampling loses) meets only
// the measurement: d_lost <- d_lost - (prior d_lost - data y_lost). So all steps are taken in registers on coefficients, and the
// result is xhat + M s + d_lost. Macroblocks that the edge of the picture cuts repeat their last row and column inside H, which
// breaks T M = I; they take every step from pixels to pixels.
#include "descend.hpp"
#include "kernels.hpp"
#include "macroblock.hpp"

namespace lmaps::LMAPS_ISA {
namespace {

constexpr int kPair = 128;
static_assert(kPair % kFlightBlock == 0, "a pair of blocks is a whole number of flights");

void coefficient_steps(float* s, const float* start, const float* measured, const float* table,
                                    const float* inverse, const float* shift, const Descent& descent) {
  for (int at = 0; at < kPair; at += kFlightBlock) {
    Floats d[kFlight], q[kFlight], reciprocal[kFlight], scaled[kFlight], target[kFlight];
    for (int i = 0; i < kFlight; ++i) {
      const int here = at + i * kLanes;
      const Floats offset = load(shift + here);
      q[i] = load(table + here);
      reciprocal[i] = load(inverse + here);
      scaled[i] = (load(start + here) + offset) * reciprocal[i];
      target[i] = load(measured + here) + offset;
    }
    descend(d, descent, [&](Floats move, int i) {
      return descent.data * (q[i] * round_even(scaled[i] + move * reciprocal[i]) - target[i]);
    });
    for (int i = 0; i < kFlight; ++i) store(s + at + i * kLanes, d[i]);
  }
}

template <class Block>
void whole_steps(const typename Block::Pixels& xhat, const typename Block::Pixels& y, typename Block::Pixels& x,
                              const JpegSetup& setup, const Descent& descent, float lost_gain) {
  typename Block::Coefficients start, measured, moved;
  Block::encode(start, xhat, setup.average);
  Block::encode(measured, y, setup.average);
  for (int pair = 0; pair < Block::kPairs; ++pair) {
    const int at = pair * kPair;
    coefficient_steps(moved[pair][0], start[pair][0], measured[pair][0], setup.table + at, setup.inverse + at,
                      setup.shift + at, descent);
  }
  if constexpr (Block::kSubsampled) {
    typename Block::Chroma lost;
    Block::lost_chroma(lost, y, setup.average);
    for (auto& plane : lost) {
      for (auto& row : plane) {
        for (float& value : row) value *= lost_gain;
      }
    }
    Block::decode(x, moved, &lost);
  } else {
    Block::decode(x, moved, nullptr);
  }
  float* to = &x[0][0][0];
  const float* from = &xhat[0][0][0];
  for (size_t i = 0; i < sizeof x / sizeof *to; ++i) to[i] += from[i];
}

template <class Block>
LMAPS_INLINE void quantise(typename Block::Coefficients& c, const JpegSetup& setup) {
  float* value = &c[0][0][0];
  for (int i = 0; i < Block::kPairs * kPair; i += kLanes) {
    const Floats shift = load(setup.shift + i), q = load(setup.table + i);
    store(value + i, q * round_even((load(value + i) + shift) * load(setup.inverse + i)) - shift);
  }
}

// H(x) of a macroblock of which only rows x columns are in the picture; `x` is overwritten beyond them.
template <class Block>
void compress(typename Block::Pixels& x, typename Block::Pixels& result, const JpegSetup& setup, int rows,
                           int columns) {
  for (auto& plane : x) {
    for (int i = 0; i < Block::kHeight; ++i) {
      if (i >= rows) memcpy(plane[i], plane[rows - 1], sizeof plane[i]);
      for (int j = columns; j < Block::kWidth; ++j) plane[i][j] = plane[i][columns - 1];
    }
  }
  typename Block::Coefficients c;
  Block::encode(c, x, setup.average);
  quantise<Block>(c, setup);
  Block::decode(result, c, nullptr);
}

template <class Block>
void cut_steps(const typename Block::Pixels& xhat, const typename Block::Pixels& y, typename Block::Pixels& x,
                            const JpegSetup& setup, const Descent& descent, int rows, int columns) {
  typename Block::Pixels moved{}, seen;
  constexpr int count = static_cast<int>(sizeof moved / sizeof(float));
  float* const d = &moved[0][0][0];
  float* const now = &x[0][0][0];
  const float* const start = &xhat[0][0][0];
  const float* const measured = &y[0][0][0];
  for (int64_t step = 0; step < descent.steps; ++step) {
    for (int i = 0; i < count; ++i) now[i] = start[i] + d[i];
    compress<Block>(x, seen, setup, rows, columns);
    const float* const h = &seen[0][0][0];
    for (int i = 0; i < count; ++i) d[i] -= descent.prior * d[i] + descent.data * (h[i] - measured[i]);
  }
  for (int i = 0; i < count; ++i) now[i] = start[i] + d[i];
}

// block(column, columns) for each macroblock of a row of `width` pixels.
template <class Block, class Body>
LMAPS_INLINE void along_row(int64_t width, const Body& body) {
  for (int64_t j = 0; j < width; j += Block::kWidth) {
    const int64_t left = width - j;
    body(j, left < Block::kWidth ? static_cast<int>(left) : Block::kWidth);
  }
}

template <class Block>
void steps_row(const float* xhat, const float* y, float* out, const JpegRow& row, const JpegSetup& setup,
               const Descent& descent) {
  float lost_gain = 0.0f;
  for (int64_t step = 0; step < descent.steps; ++step) lost_gain -= descent.prior * lost_gain - descent.data;
  along_row<Block>(row.width, [&](int64_t j, int columns) {
    typename Block::Pixels start, measured, x;
    Block::read(start, xhat + j, row.plane, row.width, row.rows, columns);
    Block::read(measured, y + j, row.plane, row.width, row.rows, columns);
    if (row.rows == Block::kHeight && columns == Block::kWidth) {
      whole_steps<Block>(start, measured, x, setup, descent, lost_gain);
    } else {
      cut_steps<Block>(start, measured, x, setup, descent, row.rows, columns);
    }
    Block::write(out + j, x, row.plane, row.width, row.rows, columns);
  });
}

template <class Block>
void forward_row(const float* x, float* out, const JpegRow& row, const JpegSetup& setup) {
  along_row<Block>(row.width, [&](int64_t j, int columns) {
    typename Block::Pixels from, to;
    Block::read(from, x + j, row.plane, row.width, row.rows, columns);
    compress<Block>(from, to, setup, row.rows, columns);
    Block::write(out + j, to, row.plane, row.width, row.rows, columns);
  });
}

// visit(Macroblock<...>{}) of the setup's sampling.
template <class Visit>
LMAPS_INLINE void with_block(const JpegSetup& setup, const Visit& visit) {
  if (!setup.colour) return visit(Macroblock<1, 1, false>{});
  switch (10 * setup.down + setup.across) {
    case 11: return visit(Macroblock<1, 1, true>{});
    case 12: return visit(Macroblock<1, 2, true>{});
    case 14: return visit(Macroblock<1, 4, true>{});
    case 21: return visit(Macroblock<2, 1, true>{});
    default: return visit(Macroblock<2, 2, true>{});
  }
}

}  // namespace

void jpeg_steps(const float* xhat, const float* y, float* out, const JpegRow& row, const JpegSetup& setup, Descent descent) {
  with_block(setup, [&](auto block) { steps_row<decltype(block)>(xhat, y, out, row, setup, descent); });
}

void jpeg_forward(const float* x, float* out, const JpegRow& row, const JpegSetup& setup) {
  with_block(setup, [&](auto block) { forward_row<decltype(block)>(x, out, row, setup); });
}

}  // namespace lmaps::LMAPS_ISA
