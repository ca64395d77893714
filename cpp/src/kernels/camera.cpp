// What a camera does to light, and back: the standard curve of sRGB, with its slope, straight on where the standard ends.
#include "kernels.hpp"
#include "power.hpp"
#include "vec.hpp"

namespace lmaps::LMAPS_ISA {
namespace {

struct Curve {
  Floats value, slope;
};

// u <= 0.04045 ? u / 12.92 : ((u + 0.055) / 1.055)^2.4
LMAPS_INLINE Curve light_of(Floats u) {
  const Floats t = (maximum(u, splat(0.04045f)) + 0.055f) * (1.0f / 1.055f);
  const Floats rest = t * power(t, 0.4f);
  const Ints straight = u <= 0.04045f;
  return {select(straight, u * (1.0f / 12.92f), t * rest), select(straight, splat(1.0f / 12.92f), (2.4f / 1.055f) * rest)};
}

// v <= 0.0031308 ? 12.92 v : 1.055 v^(1 / 2.4) - 0.055
LMAPS_INLINE Curve picture_of(Floats v) {
  const Floats bright = maximum(v, splat(0.0031308f));
  const Floats root = power(bright, 1.0f / 2.4f);
  const Ints straight = v <= 0.0031308f;
  return {select(straight, 12.92f * v, 1.055f * root - 0.055f), select(straight, splat(12.92f), (1.055f / 2.4f) * root / bright)};
}

// The first `count` entries of a register's worth; zero beyond.
LMAPS_INLINE Floats load_some(const float* from, int64_t count) {
  if (count >= kLanes) return load(from);
  Floats v{};
  memcpy(&v, from, static_cast<size_t>(count) * sizeof(float));
  return v;
}

LMAPS_INLINE void store_some(float* to, Floats v, int64_t count) {
  memcpy(to, &v, (count < kLanes ? static_cast<size_t>(count) : kLanes) * sizeof(float));
}

}  // namespace

void camera_light(const float* x, float* light, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) {
    store_some(light + i, light_of(0.5f * load_some(x + i, count - i) + 0.5f).value, count - i);
  }
}

void camera_misfit(const float* const* mixed, const float* const* weights, int64_t shakes, const float* y, float* const* pulls,
                   int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) {
    Floats v{};
    for (int64_t s = 0; s < shakes; ++s) v = v + load_some(weights[s] + i, count - i) * load_some(mixed[s] + i, count - i);
    const Curve seen = picture_of(v);
    const Floats h = 2.0f * seen.value - 1.0f;
    const Floats clipped = clip(h, -1.0f, 1.0f);
    const Floats pull = select(h == clipped, 2.0f * seen.slope * (clipped - load_some(y + i, count - i)), Floats{});
    for (int64_t s = 0; s < shakes; ++s) store_some(pulls[s] + i, load_some(weights[s] + i, count - i) * pull, count - i);
  }
}

void camera_descend(const float* g, const float* xhat, float* x, float* light, int64_t count, float pull, float push) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const Floats before = load_some(x + i, count - i), start = load_some(xhat + i, count - i);
    const Floats slope = 0.5f * light_of(0.5f * before + 0.5f).slope;
    const Floats after = before + (pull * (start - before) - push * slope * load_some(g + i, count - i));
    store_some(x + i, after, count - i);
    store_some(light + i, light_of(0.5f * after + 0.5f).value, count - i);
  }
}

}  // namespace lmaps::LMAPS_ISA
