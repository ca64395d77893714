// The passes of a correlation by Fourier transforms: down the columns; along the rows, there and back in one visit, with the
// kernel's response in between.
#include "half_spectrum.hpp"
#include "kernels.hpp"

namespace lmaps::LMAPS_ISA {
namespace {

LMAPS_INLINE bool consecutive(const int32_t* columns) {
  for (int i = 1; i < kPanel; ++i) {
    if (columns[i] != columns[0] + i) return false;
  }
  return columns[0] >= 0;
}

void load_columns(const Extended& from, const int32_t* columns, int64_t length, float* to) {
  const bool run = consecutive(columns);
  for (int64_t i = 0; i < length; ++i, to += kPanel) {
    if (from.rows[i] < 0) {
      memset(to, 0, kPanel * sizeof(float));
      continue;
    }
    const float* const row = from.plane + from.rows[i] * from.width;
    if (run) {
      memcpy(to, row + columns[0], kPanel * sizeof(float));
    } else {
      for (int j = 0; j < kPanel; ++j) to[j] = columns[j] < 0 ? 0.0f : row[columns[j]];
    }
  }
}

// Sets columns [kept, kPanel) of a panel's first rows to zero.
void clear_columns(float* panel, int64_t rows, int64_t kept) {
  if (kept >= kPanel) return;
  const int64_t from = kept > 0 ? kept : 0;
  for (int64_t i = 0; i < rows; ++i) memset(panel + i * kPanel + from, 0, static_cast<size_t>(kPanel - from) * sizeof(float));
}

LMAPS_INLINE Complexes product(const Panel& z, Factors factors, int64_t at, float sign) {
  const Complexes a = load(z, at);
  const Floats b_re = load(factors.re + at), b_im = sign * load(factors.im + at);
  return {a.re * b_re - a.im * b_im, a.re * b_im + a.im * b_re};
}

void multiply(const Panel& z, int64_t count, Factors factors, float sign, const Panel& to) {
  for (int64_t i = 0; i < count; i += kLanes) store(to, i, product(z, factors, i, sign));
}

void multiply_onto(const Panel& z, int64_t count, Factors factors, float sign, const Panel& to) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const Complexes there = load(to, i), more = product(z, factors, i, sign);
    store(to, i, {there.re + more.re, there.im + more.im});
  }
}

// A third panel beside those of `work_in`.
LMAPS_INLINE Panel third_in(float* scratch, int64_t length) {
  const int64_t size = length * kPanel;
  return {scratch + 4 * size, scratch + 5 * size};
}

void add_rows(const float* panel, int64_t length, const int32_t* rows, float* to, int64_t stride) {
  for (int64_t i = 0; i < length; ++i) {
    if (rows[i] < 0) continue;
    float* const row = to + rows[i] * stride;
    for (int j = 0; j < kPanel; j += kLanes) store(row + j, load(row + j) + load(panel + i * kPanel + j));
  }
}

}  // namespace

void columns_in(const FourierPlan& plan, const Extended& from, int64_t first, const HalfSpectrum& to, float* scratch) {
  Work work = work_in(scratch, plan.length);
  load_columns(from, from.columns + first, plan.length, work.panel.re);
  load_columns(from, from.columns + first + kPanel, plan.length, work.panel.im);
  fourier(plan, work.panel, work.spare);
  split(work.panel, plan.length, to, first);
}

void columns_crop(const FourierPlan& plan, const HalfSpectrum& spectrum, int64_t first, int64_t height, int64_t width,
                  float* scratch) {
  Work work = work_in(scratch, plan.length);
  join(spectrum, first, plan.length, work.panel);
  inverse_fourier(plan, work.panel, work.spare);
  const size_t below = static_cast<size_t>((plan.length - height) * kPanel) * sizeof(float);
  memset(work.panel.re + height * kPanel, 0, below);
  memset(work.panel.im + height * kPanel, 0, below);
  clear_columns(work.panel.re, height, width - first);
  clear_columns(work.panel.im, height, width - first - kPanel);
  fourier(plan, work.panel, work.spare);
  split(work.panel, plan.length, spectrum, first);
}

void columns_out(const FourierPlan& plan, const HalfSpectrum& from, int64_t first, const int32_t* rows, float* to,
                 int64_t to_stride, float* scratch) {
  Work work = work_in(scratch, plan.length);
  join(from, first, plan.length, work.panel);
  inverse_fourier(plan, work.panel, work.spare);
  add_rows(work.panel.re, plan.length, rows, to + first, to_stride);
  add_rows(work.panel.im, plan.length, rows, to + first + kPanel, to_stride);
}

void rows_times(const FourierPlan& plan, const HalfSpectrum& spectrum, const SpectrumRows& rows, Factors response,
                bool conjugate, float* scratch) {
  Work work = work_in(scratch, plan.length);
  take_rows(spectrum, rows, plan.length, work.panel);
  fourier(plan, work.panel, work.spare);
  multiply(work.panel, plan.length * kPanel, response, conjugate ? -1.0f : 1.0f, work.panel);
  inverse_fourier(plan, work.panel, work.spare);
  give_rows(work.panel, rows, plan.length, spectrum);
}

void rows_spread(const FourierPlan& plan, const Factors* responses, const HalfSpectrum* spectra, int64_t count,
                 const SpectrumRows& rows, float* scratch) {
  Work work = work_in(scratch, plan.length);
  Panel through = third_in(scratch, plan.length);
  take_rows(spectra[0], rows, plan.length, work.panel);
  fourier(plan, work.panel, work.spare);
  for (int64_t i = 0; i < count; ++i) {
    multiply(work.panel, plan.length * kPanel, responses[i], 1.0f, through);
    inverse_fourier(plan, through, work.spare);
    give_rows(through, rows, plan.length, spectra[i]);
  }
}

void rows_gather(const FourierPlan& plan, const Factors* responses, const HalfSpectrum* spectra, int64_t count,
                 const SpectrumRows& rows, float* scratch) {
  Work work = work_in(scratch, plan.length);
  Panel sum = third_in(scratch, plan.length);
  for (int64_t i = 0; i < count; ++i) {
    take_rows(spectra[i], rows, plan.length, work.panel);
    fourier(plan, work.panel, work.spare);
    if (i == 0) {
      multiply(work.panel, plan.length * kPanel, responses[i], -1.0f, sum);
    } else {
      multiply_onto(work.panel, plan.length * kPanel, responses[i], -1.0f, sum);
    }
  }
  inverse_fourier(plan, sum, work.spare);
  give_rows(sum, rows, plan.length, spectra[0]);
}

void recur(const float* pulled, const float* now, float* next, float* sum, int64_t count, Recurrence step) {
  for (int64_t i = 0; i < count; ++i) {
    next[i] = step.alpha * pulled[i] + step.beta * now[i] + step.gamma * next[i];
    sum[i] += step.weight * next[i];
  }
}

}  // namespace lmaps::LMAPS_ISA
