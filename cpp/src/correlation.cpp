#include "lmaps/correlation.hpp"

#include <algorithm>

#include "check.hpp"
#include "correlation_passes.hpp"

namespace lmaps {

struct CorrelationPlan {
  Field field;
  Response response;
};

namespace {

// H^T H of `x`, handed to `take` row by row.
template <class Take>
void pass_normal(Passes& run, const CorrelationPlan& plan, const float* x, const Take& take) {
  const Edges &extended = plan.field.extended, &own = plan.field.own;
  run.columns_in(x, extended);
  run.rows_times(plan.response, extended, own, false);
  run.columns_crop();
  run.rows_times(plan.response, own, extended, true);
  run.columns_out(extended);
  run.fold_columns(extended, take);
}

// Rows of the result, copied to where they belong.
auto copied_to(float* out, std::int64_t width) {
  return [out, width](std::int64_t row, const float* values) { std::copy_n(values, width, out + row * width); };
}

// From planes with the edges `from` to planes with the edges `to`.
void pass_once(const CorrelationPlan& plan, const float* x, float* out, std::int64_t planes, const Edges& from, const Edges& to,
               bool conjugate) {
  Passes run(plan.field, planes);
  run.columns_in(x, from);
  run.rows_times(plan.response, from, to, conjugate);
  run.columns_out(to);
  run.fold_columns(to, copied_to(out, plan.field.width));
}

void require_arrays(const CorrelationPlan& plan, const char* name, const float* x, const float* out, std::int64_t planes) {
  check::shape({1, planes, plan.field.height, plan.field.width});
  const std::int64_t count = planes * plan.field.height * plan.field.width;
  check::memory(check::range("out", out, count), check::range(name, x, count));
}

}  // namespace

Correlation::Correlation(std::int64_t height, std::int64_t width, const std::vector<std::int32_t>& rows,
                         const std::vector<std::int32_t>& columns, std::int64_t fft_height, std::int64_t fft_width,
                         const std::complex<float>* response) {
  Field field = field_of(height, width, rows, columns, fft_height, fft_width);
  check::present(check::range("response", response, 1));
  Response stored = response_of(field, response);
  plan_ = std::make_unique<CorrelationPlan>(CorrelationPlan{std::move(field), std::move(stored)});
}

Correlation::~Correlation() = default;
Correlation::Correlation(Correlation&&) noexcept = default;
Correlation& Correlation::operator=(Correlation&&) noexcept = default;

std::int64_t Correlation::height() const { return plan_->field.height; }
std::int64_t Correlation::width() const { return plan_->field.width; }

void Correlation::forward(const float* x, float* out, std::int64_t planes) const {
  require_arrays(*plan_, "x", x, out, planes);
  pass_once(*plan_, x, out, planes, plan_->field.extended, plan_->field.own, false);
}

void Correlation::adjoint(const float* u, float* out, std::int64_t planes) const {
  require_arrays(*plan_, "u", u, out, planes);
  pass_once(*plan_, u, out, planes, plan_->field.own, plan_->field.extended, true);
}

void Correlation::normal(const float* x, float* out, std::int64_t planes) const {
  require_arrays(*plan_, "x", x, out, planes);
  Passes run(plan_->field, planes);
  pass_normal(run, *plan_, x, copied_to(out, plan_->field.width));
}

void Correlation::series(const float* g, float* out, std::int64_t planes, const float* coefficients, std::int64_t count,
                         double bound) const {
  require_arrays(*plan_, "g", g, out, planes);
  check::at_least("count", count, 1);
  check::positive("bound", bound);
  const std::int64_t width = plan_->field.width, size = planes * plan_->field.height * width;
  check::memory(check::range("out", out, size), check::range("coefficients", coefficients, count));
  for (std::int64_t i = 0; i < size; ++i) out[i] = coefficients[0] * g[i];
  if (count == 1) return;
  const Kernels& kernel = kernels();
  Passes run(plan_->field, planes);
  Scratch first(*plan_->field.shelf, size), second(*plan_->field.shelf, size);
  const float* now = g;
  float *next = first.data(), *after = second.data();
  std::fill_n(next, size, 0.0f);
  for (std::int64_t j = 1; j < count; ++j) {
    // V_1 = 2 Z - 1 = 4 N / bound - 3, and from then on 2 Z V_j - V_(j-1) = 4 N V_j / bound - 2 V_j - V_(j-1).
    const Recurrence step{static_cast<float>(4.0 / bound), j == 1 ? -3.0f : -2.0f, j == 1 ? 0.0f : -1.0f, coefficients[j]};
    if (j == 2) std::copy_n(g, size, after);
    float* const to = j == 1 ? next : after;
    pass_normal(run, *plan_, now, [&](std::int64_t row, const float* pulled) {
      const std::int64_t at = row * width;
      kernel.recur(pulled, now + at, to + at, out + at, width, step);
    });
    if (j > 1) std::swap(next, after);
    now = next;
  }
}

}  // namespace lmaps
