// lmaps_core: the fused inner loop of Local MAP Sampling on the CPU.
#pragma once

#include "lmaps/blur.hpp"
#include "lmaps/camera.hpp"
#include "lmaps/correlation.hpp"
#include "lmaps/jpeg.hpp"
#include "lmaps/noise.hpp"
#include "lmaps/phase.hpp"
#include "lmaps/pointwise.hpp"
#include "lmaps/runtime.hpp"
#include "lmaps/spectral.hpp"
#include "lmaps/types.hpp"
