// Weighted sums of shifted rows: what every blur and its adjoint are made of.
#include "kernels.hpp"
#include "vec.hpp"

namespace lmaps::LMAPS_ISA {
namespace {

// Registers of one output row held while the taps go by.
constexpr int kTile = 8;

template <int kRegisters>
LMAPS_INLINE void sum_tile(float* to, int64_t at, const float* const* rows, const float* weights, int64_t taps, bool add) {
  Floats sum[kRegisters];
  for (int i = 0; i < kRegisters; ++i) sum[i] = add ? load(to + at + i * kLanes) : Floats{};
  for (int64_t t = 0; t < taps; ++t) {
    const float* row = rows[t] + at;
    for (int i = 0; i < kRegisters; ++i) sum[i] = sum[i] + weights[t] * load(row + i * kLanes);
  }
  for (int i = 0; i < kRegisters; ++i) store(to + at + i * kLanes, sum[i]);
}

LMAPS_INLINE void sum_entry(float* to, int64_t at, const float* const* rows, const float* weights, int64_t taps, bool add) {
  float sum = add ? to[at] : 0.0f;
  for (int64_t t = 0; t < taps; ++t) sum = sum + weights[t] * rows[t][at];
  to[at] = sum;
}

}  // namespace

void weighted_rows(float* to, int64_t count, const float* const* rows, const float* weights, int64_t taps, bool add) {
  int64_t at = 0;
  for (; at + kTile * kLanes <= count; at += kTile * kLanes) sum_tile<kTile>(to, at, rows, weights, taps, add);
  for (; at + kLanes <= count; at += kLanes) sum_tile<1>(to, at, rows, weights, taps, add);
  for (; at < count; ++at) sum_entry(to, at, rows, weights, taps, add);
}

void descend_row(float* d, const float* pull, int64_t count, Descent descent) {
  for (int64_t i = 0; i < count; ++i) d[i] -= descent.prior * d[i] + descent.data * pull[i];
}

}  // namespace lmaps::LMAPS_ISA
