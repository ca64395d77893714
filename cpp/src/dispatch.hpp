#pragma once

#include "kernels/table.hpp"
#include "lmaps/types.hpp"

namespace lmaps {

// The kernels of the variant in use (runtime.hpp).
const Kernels& kernels();

inline Descent descent_of(const Inner& inner) {
  return {static_cast<float>(inner.eta * (1.0 - inner.r)), static_cast<float>(inner.eta * inner.r * inner.k2), inner.steps};
}

}  // namespace lmaps
