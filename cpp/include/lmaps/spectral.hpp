// K gradient steps of the inner problem for a linear H at the cost of one, in the basis where H^T H is diagonal.
//
// With lam an eigenvalue of H^T H, m = (1 - r) + r k2 lam, c the coefficient of xhat and b that of H^T y:
//
//     x_K = c + w (b - lam c),      w = r k2 q(m),      q(m) = (1 - (1 - eta m)^K) / m,      q(0) = eta K
//
// K = lmaps::exact gives the minimum (Eq. 15 of the paper): q = 1 / m, and 0 where m = 0 (the pseudo-inverse).
// q is computed in double precision without cancellation. c, b, out hold `count` numbers; eigenvalues and gain hold
// eigenvalue_count of them, which must divide count: they repeat over the leading dimensions (batch, channels).
// All functions throw std::invalid_argument naming the argument.
#pragma once

#include <complex>

#include "lmaps/types.hpp"

namespace lmaps {

// gain[i] = w(eigenvalues[i])
void spectral_gain(const float* eigenvalues, float* gain, std::int64_t count, Inner inner);

// out = c + gain * (b - eigenvalues * c), from a table made once.
void spectral_apply(const float* c, const float* b, const float* eigenvalues, const float* gain, std::int64_t eigenvalue_count,
                    float* out, std::int64_t count);
void spectral_apply(const std::complex<float>* c, const std::complex<float>* b, const float* eigenvalues, const float* gain,
                    std::int64_t eigenvalue_count, std::complex<float>* out, std::int64_t count);

// Both in one call.
void spectral_filter(const float* c, const float* b, const float* eigenvalues, std::int64_t eigenvalue_count, float* out,
                     std::int64_t count, Inner inner);
void spectral_filter(const std::complex<float>* c, const std::complex<float>* b, const float* eigenvalues,
                     std::int64_t eigenvalue_count, std::complex<float>* out, std::int64_t count, Inner inner);

}  // namespace lmaps
