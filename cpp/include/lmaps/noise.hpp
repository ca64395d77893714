// Counter-based noise (Philox4x32-10 and Box-Muller) and the transition of the diffusion loop.
//
// One number is a function of (seed, stream, step, index) and of nothing else:
//
//     key     = (low, high 32 bits of seed),    counter = (index / 4, step, stream, 0)     -> four words w0 .. w3
//     u_i     = ((w_i >> 8) + 1/2) / 2^24                                                  in float32 arithmetic
//     n_0, n_1 = sqrt(-2 ln u_0) (cos, sin)(2 pi u_1);        n_2, n_3 likewise from u_2, u_3
//
// Every variant of the machine code gives the same bits. Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as
// easy as 1, 2, 3", 2011.
#pragma once

#include <cstdint>

#include "lmaps/types.hpp"

namespace lmaps {

// The four words of the counters (first + i, step, stream, top) for i = 0 .. blocks - 1, written as out[4 i + j].
void philox_words(std::uint32_t* out, std::int64_t blocks, std::uint64_t seed, std::uint32_t step, std::uint32_t stream,
                  std::uint32_t first = 0, std::uint32_t top = 0);

// out[i] = number i of the stream, i < count <= 2^34.
void normal(float* out, std::int64_t count, std::uint64_t seed, std::uint32_t step, std::uint32_t stream);

// Eq. 2 of the paper with alpha = 1, image b drawing its noise n from seeds[b], stream 0:
//
//     x_next = x0 + sigma_next (sqrt(1 - rho^2) (x - x0) / sigma + rho n)
//
// x0, x, x_next: [batch, image_size]. sigma > 0, sigma_next >= 0 (0 gives x0 exactly), rho in [0, 1]; rho = 1 is full
// re-noising. Throws std::invalid_argument naming the argument; x_next must not overlap x0 or x.
void transition(const float* x0, const float* x, float* x_next, std::int64_t batch, std::int64_t image_size, double sigma,
                double sigma_next, double rho, const std::uint64_t* seeds, std::uint32_t step);

}  // namespace lmaps
