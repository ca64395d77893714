// Weighted sums of shifted rows: what every blur and its adjoint are made of.
#include "kernels.hpp"
#include "vec.hpp"

namespace lmaps::LMAPS_ISA {
namespace {

// Registers of one output row held while the taps go by.
constexpr int kTile = 8;

struct Taps {
  const float* const* rows;
  const float* weights;
  int64_t count;
};

// `entries` of kRegisters registers' worth are stored; the rest are computed and dropped.
template <int kRegisters>
void sum_tile(float* to, int64_t at, int64_t entries, const Taps& taps, bool add) {
  Floats sum[kRegisters] = {};
  if (add) memcpy(sum, to + at, sizeof(float) * static_cast<size_t>(entries));
  for (int64_t t = 0; t < taps.count; ++t) {
    const float* row = taps.rows[t] + at;
    for (int i = 0; i < kRegisters; ++i) sum[i] = sum[i] + taps.weights[t] * load(row + i * kLanes);
  }
  memcpy(to + at, sum, sizeof(float) * static_cast<size_t>(entries));
}

using Tile = void (*)(float*, int64_t, int64_t, const Taps&, bool);
constexpr Tile kTiles[kTile] = {sum_tile<1>, sum_tile<2>, sum_tile<3>, sum_tile<4>,
                                sum_tile<5>, sum_tile<6>, sum_tile<7>, sum_tile<8>};

}  // namespace

void weighted_rows(float* to, int64_t count, const float* const* rows, const float* weights, int64_t taps, bool add) {
  constexpr int64_t whole = kTile * kLanes;
  for (int64_t at = 0; at < count; at += whole) {
    const int64_t entries = count - at < whole ? count - at : whole;
    kTiles[(entries - 1) / kLanes](to, at, entries, {rows, weights, taps}, add);
  }
}

void descend_row(float* d, const float* pull, int64_t count, Descent descent) {
  for (int64_t i = 0; i < count; ++i) d[i] -= descent.prior * d[i] + descent.data * pull[i];
}

}  // namespace lmaps::LMAPS_ISA
