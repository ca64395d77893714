#include "lmaps/correlation.hpp"

#include <algorithm>
#include <string>

#include "check.hpp"
#include "dispatch.hpp"
#include "fourier_plan.hpp"
#include "parallel.hpp"

namespace lmaps {
namespace {

constexpr std::int64_t kStrip = 2 * kPanel;  // columns that one transform takes

std::int64_t strips(std::int64_t columns) { return (columns + kStrip - 1) / kStrip; }
std::int64_t panels(std::int64_t rows) { return (rows + kPanel - 1) / kPanel; }

// Row and column sources of an extended plane, filled up with -1 to the size of the transforms. Its columns [left, right) are
// the plane's own, the others repeat some of them; reach is where they end.
struct Edges {
  std::vector<std::int32_t> rows;
  std::vector<std::int32_t> columns;
  std::int64_t left, right, reach;
};

Edges filled(std::vector<std::int32_t> rows, std::vector<std::int32_t> columns, std::int64_t width, std::int64_t height,
             std::int64_t stride) {
  const auto reach = static_cast<std::int64_t>(columns.size());
  std::int64_t left = 0, right = 0;
  for (std::int64_t start = 0; start + width <= reach && right == 0; ++start) {
    std::int64_t j = 0;
    while (j < width && columns[static_cast<std::size_t>(start + j)] == j) ++j;
    if (j == width) left = start, right = start + width;
  }
  rows.resize(static_cast<std::size_t>(height), -1);
  columns.resize(static_cast<std::size_t>(stride), -1);
  return {std::move(rows), std::move(columns), left, right, reach};
}

// folded[columns[j]] += from[j]
void fold_row(const float* from, const Edges& edges, float* folded, std::int64_t width) {
  const auto add = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t j = begin; j < end; ++j) {
      const std::int32_t to = edges.columns[static_cast<std::size_t>(j)];
      if (to >= 0) folded[to] += from[j];
    }
  };
  if (edges.right > 0) {
    std::copy_n(from + edges.left, width, folded);
  } else {
    std::fill_n(folded, width, 0.0f);
  }
  add(0, edges.left);
  add(edges.right, edges.reach);
}

std::vector<std::int32_t> counted(std::int64_t length) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(length));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int32_t>(i);
  return values;
}

void require_sources(const char* name, const std::vector<std::int32_t>& sources, std::int64_t length, std::int64_t fft) {
  const auto count = static_cast<std::int64_t>(sources.size());
  if (count < length || count > fft) {
    check::fail(std::string(name) + " must have from " + std::to_string(length) + " (the plane's side) to " + std::to_string(fft) +
                " (the transform's) entries, got " + std::to_string(count));
  }
  for (const std::int32_t source : sources) {
    if (source < -1 || source >= length) {
      check::fail(std::string(name) + " must hold numbers from -1 to " + std::to_string(length - 1) + ", got " +
                  std::to_string(source));
    }
  }
}

}  // namespace

struct CorrelationPlan {
  std::int64_t height, width, stride, half;
  FourierTable down, across;
  Edges extended, own;
  std::vector<float> response_re, response_im;  // [panel of rows][fft_width][kPanel], with the transforms' factors in it

  const FourierPlan& columns() const { return down.plan(); }
  const FourierPlan& rows() const { return across.plan(); }
  std::int64_t spectrum_size() const { return half * stride; }
};

namespace {

// The memory that one call works in, for all its planes.
class Run {
 public:
  Run(const CorrelationPlan& plan, std::int64_t planes)
      : plan_(plan),
        planes_(planes),
        workers_(threads()),
        scratch_size_(4 * kPanel * std::max(plan.columns().length, plan.rows().length)),
        spectra_(2 * planes * plan.spectrum_size()),
        sums_(planes * plan.height * plan.stride),
        scratch_(workers_ * scratch_size_) {}

  void columns_in(const float* x, const Edges& edges) {
    over_strips(strips(edges.reach), [&](std::int64_t plane, std::int64_t first, float* scratch) {
      const Extended from{x + plane * plan_.height * plan_.width, plan_.width, edges.rows.data(), edges.columns.data()};
      kernels_.columns_in(plan_.columns(), from, first, spectrum(plane), scratch);
    });
  }

  // Between columns of `from` and columns of `to`.
  void rows_times(const Edges& from, const Edges& to, bool conjugate) {
    const std::int64_t pieces = panels(plan_.half), size = plan_.rows().length * kPanel;
    parallel_for(planes_ * pieces, workers_, [&](std::int64_t i, int worker) {
      const std::int64_t piece = i % pieces, first = piece * kPanel;
      const SpectrumRows rows{first, std::min<std::int64_t>(kPanel, plan_.half - first), strips(from.reach) * kStrip,
                              strips(to.reach) * kStrip};
      kernels_.rows_times(plan_.rows(), spectrum(i / pieces), rows, plan_.response_re.data() + piece * size, plan_.response_im.data() + piece * size, conjugate,
                          scratch(worker));
    });
  }

  void columns_crop() {
    over_strips(strips(plan_.width), [&](std::int64_t plane, std::int64_t first, float* scratch) {
      kernels_.columns_crop(plan_.columns(), spectrum(plane), first, plan_.height, plan_.width, scratch);
    });
  }

  // Leaves the rows of the extended plane added up in `sums_`.
  void columns_out(const Edges& edges) {
    over_strips(strips(edges.reach), [&](std::int64_t plane, std::int64_t first, float* scratch) {
      float* const to = sums_.data() + plane * plan_.height * plan_.stride;
      for (std::int64_t i = 0; i < plan_.height; ++i) std::fill_n(to + i * plan_.stride + first, kStrip, 0.0f);
      kernels_.columns_out(plan_.columns(), spectrum(plane), first, edges.rows.data(), to, plan_.stride, scratch);
    });
  }

  // Adds the columns of the extended plane up; take(row of the planes, its values, scratch of `width` floats).
  template <class Take>
  void fold_columns(const Edges& edges, const Take& take) {
    parallel_for(planes_ * plan_.height, workers_, [&](std::int64_t row, int worker) {
      const float* const from = sums_.data() + row * plan_.stride;
      float* const folded = scratch(worker);
      fold_row(from, edges, folded, plan_.width);
      take(row, folded);
    });
  }

  // H^T H of `x`, handed to `take` row by row.
  template <class Take>
  void normal(const float* x, const Take& take) {
    columns_in(x, plan_.extended);
    rows_times(plan_.extended, plan_.own, false);
    columns_crop();
    rows_times(plan_.own, plan_.extended, true);
    columns_out(plan_.extended);
    fold_columns(plan_.extended, take);
  }

  void recur(std::int64_t row, const float* pulled, const float* now, float* next, float* sum, Recurrence step) const {
    const std::int64_t at = row * plan_.width;
    kernels_.recur(pulled, now + at, next + at, sum + at, plan_.width, step);
  }

 private:
  HalfSpectrum spectrum(std::int64_t plane) const {
    float* const at = spectra_.data() + 2 * plane * plan_.spectrum_size();
    return {at, at + plan_.spectrum_size(), plan_.stride};
  }
  float* scratch(int worker) const { return scratch_.data() + worker * scratch_size_; }

  template <class Task>
  void over_strips(std::int64_t count, const Task& task) {
    parallel_for(planes_ * count, workers_,
                 [&](std::int64_t i, int worker) { task(i / count, i % count * kStrip, scratch(worker)); });
  }

  const CorrelationPlan& plan_;
  const Kernels& kernels_ = kernels();
  std::int64_t planes_;
  int workers_;
  std::int64_t scratch_size_;
  Scratch spectra_, sums_, scratch_;
};

void require_arrays(const CorrelationPlan& plan, const char* name, const float* x, const float* out, std::int64_t planes) {
  check::shape({1, planes, plan.height, plan.width});
  const std::int64_t count = planes * plan.height * plan.width;
  check::memory(check::range("out", out, count), check::range(name, x, count));
}

// [half][fft_width] to panels of rows, times the factors that the transforms leave out: 1 / (fft_height fft_width), and 1 / 2
// for taking two columns at a time.
void store_response(CorrelationPlan& plan, const std::complex<float>* response) {
  const std::int64_t length = plan.rows().length;
  const float factor = static_cast<float>(0.5 / (static_cast<double>(length) * static_cast<double>(plan.columns().length)));
  const auto size = static_cast<std::size_t>(panels(plan.half) * length * kPanel);
  plan.response_re.assign(size, 0.0f);
  plan.response_im.assign(size, 0.0f);
  for (std::int64_t k = 0; k < plan.half; ++k) {
    for (std::int64_t j = 0; j < length; ++j) {
      const auto at = static_cast<std::size_t>((k / kPanel * length + j) * kPanel + k % kPanel);
      plan.response_re[at] = factor * response[k * length + j].real();
      plan.response_im[at] = factor * response[k * length + j].imag();
    }
  }
}

}  // namespace

Correlation::Correlation(std::int64_t height, std::int64_t width, const std::vector<std::int32_t>& rows,
                         const std::vector<std::int32_t>& columns, std::int64_t fft_height, std::int64_t fft_width,
                         const std::complex<float>* response) {
  check::shape({1, 1, height, width});
  require_fourier_length("fft_height", fft_height, height);
  require_fourier_length("fft_width", fft_width, width);
  require_sources("rows", rows, height, fft_height);
  require_sources("columns", columns, width, fft_width);
  check::present(check::range("response", response, 1));
  const std::int64_t stride = strips(fft_width) * kStrip;
  auto plan = std::make_unique<CorrelationPlan>(CorrelationPlan{
      height, width, stride, fft_height / 2 + 1, FourierTable(fft_height), FourierTable(fft_width),
      filled(rows, columns, width, fft_height, stride), filled(counted(height), counted(width), width, fft_height, stride), {},
      {}});
  store_response(*plan, response);
  plan_ = std::move(plan);
}

Correlation::~Correlation() = default;
Correlation::Correlation(Correlation&&) noexcept = default;
Correlation& Correlation::operator=(Correlation&&) noexcept = default;

std::int64_t Correlation::height() const { return plan_->height; }
std::int64_t Correlation::width() const { return plan_->width; }

void Correlation::forward(const float* x, float* out, std::int64_t planes) const {
  require_arrays(*plan_, "x", x, out, planes);
  Run run(*plan_, planes);
  run.columns_in(x, plan_->extended);
  run.rows_times(plan_->extended, plan_->own, false);
  run.columns_out(plan_->own);
  run.fold_columns(plan_->own, [&](std::int64_t row, const float* values) {
    std::copy_n(values, plan_->width, out + row * plan_->width);
  });
}

void Correlation::adjoint(const float* u, float* out, std::int64_t planes) const {
  require_arrays(*plan_, "u", u, out, planes);
  Run run(*plan_, planes);
  run.columns_in(u, plan_->own);
  run.rows_times(plan_->own, plan_->extended, true);
  run.columns_out(plan_->extended);
  run.fold_columns(plan_->extended, [&](std::int64_t row, const float* values) {
    std::copy_n(values, plan_->width, out + row * plan_->width);
  });
}

void Correlation::normal(const float* x, float* out, std::int64_t planes) const {
  require_arrays(*plan_, "x", x, out, planes);
  Run run(*plan_, planes);
  run.normal(x, [&](std::int64_t row, const float* values) {
    std::copy_n(values, plan_->width, out + row * plan_->width);
  });
}

void Correlation::series(const float* g, float* out, std::int64_t planes, const float* coefficients, std::int64_t count,
                         double bound) const {
  require_arrays(*plan_, "g", g, out, planes);
  check::at_least("count", count, 1);
  check::positive("bound", bound);
  const std::int64_t size = planes * plan_->height * plan_->width;
  check::memory(check::range("out", out, size), check::range("coefficients", coefficients, count));
  for (std::int64_t i = 0; i < size; ++i) out[i] = coefficients[0] * g[i];
  if (count == 1) return;
  Run run(*plan_, planes);
  Scratch first(size), second(size);
  const float* now = g;
  float *next = first.data(), *after = second.data();
  std::fill_n(next, size, 0.0f);
  for (std::int64_t j = 1; j < count; ++j) {
    // V_1 = 2 Z - 1 = 4 N / bound - 3, and from then on 2 Z V_j - V_(j-1) = 4 N V_j / bound - 2 V_j - V_(j-1).
    const Recurrence step{static_cast<float>(4.0 / bound), j == 1 ? -3.0f : -2.0f, j == 1 ? 0.0f : -1.0f, coefficients[j]};
    if (j == 2) std::copy_n(g, size, after);
    float* const to = j == 1 ? next : after;
    run.normal(now, [&](std::int64_t row, const float* pulled) { run.recur(row, pulled, now, to, out, step); });
    if (j > 1) std::swap(next, after);
    now = next;
  }
}

}  // namespace lmaps
