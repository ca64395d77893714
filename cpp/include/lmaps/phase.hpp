// The pointwise middle of a gradient step for phase retrieval.
#pragma once

#include <complex>

#include "lmaps/types.hpp"

namespace lmaps {

// z <- z - y z / |z|, in place, with z / |z| = 0 where z = 0.
//
// For H(x) = |A x| with a unitary A the data gradient of the inner problem is J^T (H(x) - y) = Re A^H (z - y z / |z|), z = A x:
// the transform in front and behind are the caller's, this is what lies between. z: `count` complex numbers (any layout that y
// shares, the half spectrum of a real transform included), y: `count` amplitudes. Right over the whole range of float32: |z|
// neither overflows nor vanishes. Throws std::invalid_argument naming the argument.
void phase_middle(std::complex<float>* z, const float* y, std::int64_t count);

}  // namespace lmaps
