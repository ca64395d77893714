// The pointwise middle of a gradient step for phase retrieval, on the spectrum.
#include "kernels.hpp"
#include "vec.hpp"

namespace lmaps::LMAPS_ISA {
namespace {

// z - y z / |z|, with z / |z| = 0 at z = 0. Far from 1 the square of |z| would overflow or vanish: z is scaled first.
LMAPS_INLINE void residual(Floats& re, Floats& im, Floats y) {
  const Floats largest = maximum(magnitude(re), magnitude(im));
  const Floats unit = splat(1.0f);
  const Floats scale = select(largest < 0x1p-50f, splat(0x1p100f), select(largest > 0x1p50f, splat(0x1p-100f), unit));
  const Floats a = re * scale, b = im * scale;
  const Floats length = square_root(a * a + b * b);
  const Floats pull = select(length > 0.0f, y / select(length > 0.0f, length, unit), Floats{});
  re = re - pull * a;
  im = im - pull * b;
}

}  // namespace

void phase_middle(float* z, const float* y, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Pair parts = separate(load(z + 2 * i), load(z + 2 * i + kLanes));
    residual(parts.first, parts.second, load(y + i));
    parts = interleave(parts.first, parts.second);
    store(z + 2 * i, parts.first);
    store(z + 2 * i + kLanes, parts.second);
  }
  if (i == count) return;
  float spectrum[2 * kLanes] = {}, amplitude[kLanes] = {};
  const size_t left = static_cast<size_t>(count - i);
  memcpy(spectrum, z + 2 * i, 2 * left * sizeof(float));
  memcpy(amplitude, y + i, left * sizeof(float));
  phase_middle(spectrum, amplitude, kLanes);
  memcpy(z + 2 * i, spectrum, 2 * left * sizeof(float));
}

}  // namespace lmaps::LMAPS_ISA
