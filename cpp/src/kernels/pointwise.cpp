// All gradient steps of an entry in registers, for operators that act on each entry alone.
#include "descend.hpp"
#include "kernels.hpp"
#include "vec.hpp"

namespace lmaps::LMAPS_ISA {
void mask_steps(const float* xhat, const float* y, const float* mask, float* out, int64_t count, Descent descent) {
  const float* const in[3] = {xhat, y, mask};
  for_blocks<kFlightBlock>(in, out, count, [&](const float* const* at, float* to, int64_t) {
    // data m (m (xhat + d) - y) = slope d + offset.
    Floats d[kFlight], slope[kFlight], offset[kFlight];
    for (int i = 0; i < kFlight; ++i) {
      const Floats x = load(at[0] + i * kLanes), m = load(at[2] + i * kLanes);
      offset[i] = descent.data * m * (m * x - load(at[1] + i * kLanes));
      slope[i] = descent.data * m * m;
    }
    descend(d, descent, [&](Floats move, int i) { return slope[i] * move + offset[i]; });
    for (int i = 0; i < kFlight; ++i) store(to + i * kLanes, load(at[0] + i * kLanes) + d[i]);
  });
}

void hdr_steps(const float* xhat, const float* y, float* out, int64_t count, float scale, bool surrogate, Descent descent) {
  const float* const in[2] = {xhat, y};
  const float data = surrogate ? descent.data : descent.data * scale;
  const auto block = [&](const float* const* at, float* to, auto gate) {
    Floats d[kFlight], base[kFlight], measured[kFlight];
    for (int i = 0; i < kFlight; ++i) {
      base[i] = scale * load(at[0] + i * kLanes);
      measured[i] = load(at[1] + i * kLanes);
    }
    descend(d, descent, [&](Floats move, int i) {
      const Floats v = base[i] + scale * move;
      const Floats clipped = clip(v, -1.0f, 1.0f);
      return gate(v, clipped, data * (clipped - measured[i]));
    });
    for (int i = 0; i < kFlight; ++i) store(to + i * kLanes, load(at[0] + i * kLanes) + d[i]);
  };
  if (surrogate) {
    for_blocks<kFlightBlock>(in, out, count, [&](const float* const* at, float* to, int64_t) {
      block(at, to, [](Floats, Floats, Floats pull) { return pull; });
    });
  } else {
    for_blocks<kFlightBlock>(in, out, count, [&](const float* const* at, float* to, int64_t) {
      block(at, to, [](Floats v, Floats clipped, Floats pull) { return select(v == clipped, pull, Floats{}); });
    });
  }
}

void quantize_steps(const float* xhat, const float* y, float* out, int64_t count, float levels, Descent descent) {
  const float* const in[2] = {xhat, y};
  const float half = 0.5f * levels, step = descent.data * (2.0f / levels);
  for_blocks<kFlightBlock>(in, out, count, [&](const float* const* at, float* to, int64_t) {
    Floats d[kFlight], base[kFlight], measured[kFlight];
    for (int i = 0; i < kFlight; ++i) {
      base[i] = load(at[0] + i * kLanes) * half + (half + 0.5f);  // u L + 1/2 at xhat
      measured[i] = descent.data * (load(at[1] + i * kLanes) + 1.0f);
    }
    descend(d, descent, [&](Floats move, int i) {
      return step * round_down(base[i] + half * move) - measured[i];
    });
    for (int i = 0; i < kFlight; ++i) store(to + i * kLanes, load(at[0] + i * kLanes) + d[i]);
  });
}

}  // namespace lmaps::LMAPS_ISA
