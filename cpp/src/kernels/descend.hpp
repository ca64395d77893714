// The loop that every on-chip solver shares.
#pragma once

#include "table.hpp"
#include "vec.hpp"

namespace lmaps::LMAPS_ISA {
namespace {

// Registers in flight: enough to hide the latency of the chain of operations that makes one step of one entry.
constexpr int kFlight = 8;
constexpr int kFlightBlock = kFlight * kLanes;

// Takes all gradient steps of kFlight registers at once. `pull(d, i)` is data * J^T (H(xhat + d) - y) for register i.
template <class Pull>
LMAPS_INLINE void descend(Floats (&d)[kFlight], const Descent& descent, const Pull& pull) {
  for (int i = 0; i < kFlight; ++i) d[i] = Floats{};
  for (int64_t step = 0; step < descent.steps; ++step) {
    for (int i = 0; i < kFlight; ++i) d[i] = d[i] - (descent.prior * d[i] + pull(d[i], i));
  }
}

}  // namespace
}  // namespace lmaps::LMAPS_ISA
