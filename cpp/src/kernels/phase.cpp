// Gradient steps for phase retrieval: the pointwise middle on the spectrum, alone and between the transforms of its rows, and the
// update of the picture between those of its columns.
#include "half_spectrum.hpp"
#include "kernels.hpp"

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

// load_part and store_part go to rows [0, kPanel) of a line of the picture, as far as it reaches.
LMAPS_INLINE void load_part(const float* line, int64_t count, float* to) {
  memset(to, 0, kPanel * sizeof(float));
  if (count > 0) memcpy(to, line, static_cast<size_t>(count < kPanel ? count : kPanel) * sizeof(float));
}

LMAPS_INLINE void store_part(const float* from, int64_t count, float* line) {
  if (count > 0) memcpy(line, from, static_cast<size_t>(count < kPanel ? count : kPanel) * sizeof(float));
}

void load_picture(const float* x, int64_t height, int64_t width, int64_t first, int64_t length, float scale, float* to) {
  for (int64_t i = 0; i < height; ++i, to += kPanel) {
    load_part(x + i * width + first, width - first, to);
    for (int j = 0; j < kPanel; ++j) to[j] = first + j < width ? scale * (to[j] + 1.0f) : 0.0f;
  }
  memset(to, 0, static_cast<size_t>((length - height) * kPanel) * sizeof(float));
}

void descend_columns(const float* g, const float* xhat, float* x, const PictureColumns& columns, int64_t first, float pull,
                     float push) {
  const int64_t left = columns.width - first;
  float start[kPanel], now[kPanel];
  for (int64_t i = 0; i < columns.height && left > 0; ++i, g += kPanel) {
    const int64_t at = i * columns.width + first;
    load_part(xhat + at, left, start);
    load_part(x + at, left, now);
    for (int j = 0; j < kPanel; ++j) now[j] += pull * (start[j] - now[j]) - push * g[j];
    store_part(now, left, x + at);
  }
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

void turn_rows(const float* from, int64_t columns, int64_t rows, int64_t length, float* to) {
  for (int64_t j = 0; j < length; ++j) {
    for (int64_t k = 0; k < kPanel; ++k) to[j * kPanel + k] = k < rows && j < columns ? from[k * columns + j] : 0.0f;
  }
}

void rows_phase(const FourierPlan& plan, const HalfSpectrum& spectrum, const SpectrumRows& rows, const float* y,
                float* scratch) {
  Work work = work_in(scratch, plan.length);
  take_rows(spectrum, rows, plan.length, work.panel);
  fourier(plan, work.panel, work.spare);
  for (int64_t i = 0; i < plan.length * kPanel; i += kLanes) {
    Complexes z = load(work.panel, i);
    residual(z.re, z.im, load(y + i));
    store(work.panel, i, z);
  }
  inverse_fourier(plan, work.panel, work.spare);
  give_rows(work.panel, rows, plan.length, spectrum);
}

void picture_in(const FourierPlan& plan, const PictureColumns& columns, float scale, const float* x, const HalfSpectrum& to,
                float* scratch) {
  Work work = work_in(scratch, plan.length);
  load_picture(x, columns.height, columns.width, columns.first, plan.length, scale, work.panel.re);
  load_picture(x, columns.height, columns.width, columns.first + kPanel, plan.length, scale, work.panel.im);
  fourier(plan, work.panel, work.spare);
  split(work.panel, plan.length, to, columns.first);
}

void picture_descend(const FourierPlan& plan, const PictureColumns& columns, float pull, float push, const float* xhat, float* x,
                     const HalfSpectrum& from, float* scratch) {
  Work work = work_in(scratch, plan.length);
  join(from, columns.first, plan.length, work.panel);
  inverse_fourier(plan, work.panel, work.spare);
  descend_columns(work.panel.re, xhat, x, columns, columns.first, pull, push);
  descend_columns(work.panel.im, xhat, x, columns, columns.first + kPanel, pull, push);
}

}  // namespace lmaps::LMAPS_ISA
