// lmaps_core: the fused inner loop of Local MAP Sampling on the CPU.
#pragma once

#include "lmaps/noise.hpp"
#include "lmaps/pointwise.hpp"
#include "lmaps/runtime.hpp"
#include "lmaps/types.hpp"
