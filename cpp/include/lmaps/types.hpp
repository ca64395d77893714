// The words every header shares. Arrays are contiguous, row-major, float32; pictures are [batch, channels, height, width].
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace lmaps {

struct Shape {
  std::int64_t batch = 1;
  std::int64_t channels = 1;
  std::int64_t height = 1;
  std::int64_t width = 1;

  std::int64_t planes() const { return batch * channels; }
  std::int64_t plane_size() const { return height * width; }
  std::int64_t size() const { return planes() * plane_size(); }
};

// As many gradient steps as it takes: the minimum itself (Eq. 15 of the paper). Only spectral_gain and spectral_filter accept it.
inline constexpr std::int64_t exact = std::numeric_limits<std::int64_t>::max();

// The inner problem of one diffusion step (Eq. 13 of the paper), solved by `steps` plain gradient steps from x = xhat:
//
//     g = (1 - r) (x - xhat) + r k2 J^T (H(x) - y),        x <- x - eta g
//
// r in [0, 1], k2 >= 0 and eta finite, steps >= 0.
struct Inner {
  double r = 0.5;
  double k2 = 1.0;
  double eta = 1.0;
  std::int64_t steps = 0;
};

}  // namespace lmaps
