// Powers of positive numbers, to about 1e-6 of their value.
#pragma once

#include "vec.hpp"

namespace lmaps::LMAPS_ISA {
namespace {

// t = 2^e m with m in [sqrt(1/2), sqrt(2)), log2 m = 2 / ln 2 artanh(s) with s = (m - 1) / (m + 1).
LMAPS_INLINE Floats logarithm_to_2(Floats t) {
  const Words offset = as_words(t) - 0x3F3504F3u;  // the bits of sqrt(1/2)
  const Floats exponent = to_floats((offset >> 23) ^ 0x100u) - 256.0f;
  const Floats m = as_floats((offset & 0x007FFFFFu) + 0x3F3504F3u);
  const Floats f = m - 1.0f;
  const Floats s = f / (f + 2.0f);
  const Floats z = s * s;
  const Floats series = (((0.3205989f * z + 0.4121986f) * z + 0.5770780f) * z + 0.9617967f) * z + 2.8853901f;
  return exponent + s * series;
}

// 2^v for v in [-126, 126].
LMAPS_INLINE Floats power_of_2(Floats v) {
  const Floats whole = round_even(v);
  const Floats f = v - whole;
  Floats series = 1.5403530e-4f * f + 1.3333558e-3f;
  series = series * f + 9.6181291e-3f;
  series = series * f + 5.5504109e-2f;
  series = series * f + 0.24022651f;
  series = series * f + 0.69314718f;
  return (series * f + 1.0f) * as_floats(to_words(whole + 127.0f) << 23);
}

// t^p for positive, normal t.
LMAPS_INLINE Floats power(Floats t, float p) { return power_of_2(clip(p * logarithm_to_2(t), -126.0f, 126.0f)); }

}  // namespace
}  // namespace lmaps::LMAPS_ISA
