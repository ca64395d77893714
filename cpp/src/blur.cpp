#include "lmaps/blur.hpp"

#include <cstring>
#include <vector>

#include "blur_plan.hpp"
#include "check.hpp"
#include "parallel.hpp"

namespace lmaps {
namespace {

// The rows of all planes, shared out to workers that each have scratch memory of their own.
class Rows {
 public:
  Rows(const BlurPlan& plan, const Shape& shape)
      : height_(shape.height), count_(shape.planes() * shape.height), workers_(threads()) {
    for (int i = 0; i < workers_; ++i) scratch_.push_back(plan.scratch());
  }

  // visit(plane, row, index of the row among all, scratch)
  template <class Visit>
  void each(const Visit& visit) {
    constexpr std::int64_t batch = 8;
    parallel_for((count_ + batch - 1) / batch, workers_, [&](std::int64_t i, int worker) {
      const std::int64_t end = std::min(count_, (i + 1) * batch);
      for (std::int64_t at = i * batch; at < end; ++at) {
        visit(at / height_, at % height_, at, scratch_[static_cast<std::size_t>(worker)]);
      }
    });
  }

 private:
  std::int64_t height_, count_;
  int workers_;
  std::vector<BlurScratch> scratch_;
};

std::vector<float> rows_of(const Shape& shape, std::int64_t width) {
  return row_memory(shape.planes() * shape.height * width);
}

}  // namespace

void blur_forward(const float* x, float* out, Shape shape, const BlurKernel& kernel, Padding padding) {
  check::shape(shape);
  check::memory(check::range("out", out, shape.size()), check::range("x", x, shape.size()));
  const BlurPlan plan(kernel, padding, shape.height, shape.width);
  const std::int64_t width = shape.width, prepared_width = plan.prepared_width();
  std::vector<float> prepared = rows_of(shape, prepared_width);
  Rows rows(plan, shape);
  rows.each([&](std::int64_t, std::int64_t, std::int64_t at, BlurScratch& scratch) {
    plan.prepare(x + at * width, &prepared[static_cast<std::size_t>(at * prepared_width)], scratch);
  });
  rows.each([&](std::int64_t plane, std::int64_t row, std::int64_t at, BlurScratch& scratch) {
    plan.forward(row, prepared.data() + plane * shape.height * prepared_width, out + at * width, scratch);
  });
}

void blur_adjoint(const float* u, float* out, Shape shape, const BlurKernel& kernel, Padding padding) {
  check::shape(shape);
  check::memory(check::range("out", out, shape.size()), check::range("u", u, shape.size()));
  const BlurPlan plan(kernel, padding, shape.height, shape.width);
  const std::int64_t width = shape.width, spread_width = plan.spread_width();
  std::vector<float> spread = rows_of(shape, spread_width);
  Rows rows(plan, shape);
  rows.each([&](std::int64_t, std::int64_t, std::int64_t at, BlurScratch&) {
    std::memcpy(spread.data() + at * spread_width + plan.margin(), u + at * width, static_cast<std::size_t>(width) * sizeof(float));
  });
  rows.each([&](std::int64_t plane, std::int64_t row, std::int64_t at, BlurScratch& scratch) {
    plan.adjoint(row, spread.data() + plane * shape.height * spread_width, out + at * width, scratch);
  });
}

// d = x - xhat from 0: d <- d - (prior d + data H^T (H d + first)), first = H xhat - y. Two passes over the rows a step.
void blur_steps(const float* xhat, const float* y, float* out, Shape shape, const BlurKernel& kernel, Padding padding,
                Inner inner) {
  check::shape(shape);
  check::stepped(inner);
  const std::int64_t size = shape.size(), width = shape.width;
  check::memory(check::range("out", out, size), check::range("xhat", xhat, size), check::range("y", y, size));
  const BlurPlan plan(kernel, padding, shape.height, width);
  const Descent descent = descent_of(inner);
  const Kernels& run = kernels();
  const std::int64_t prepared_width = plan.prepared_width(), spread_width = plan.spread_width(), margin = plan.margin();
  std::vector<float> first(static_cast<std::size_t>(size));
  std::vector<float> prepared = rows_of(shape, prepared_width), spread = rows_of(shape, spread_width);
  Rows rows(plan, shape);

  blur_forward(xhat, first.data(), shape, kernel, padding);
  for (std::int64_t i = 0; i < size; ++i) first[static_cast<std::size_t>(i)] -= y[i];
  std::memset(out, 0, static_cast<std::size_t>(size) * sizeof(float));  // d lives in `out` until the end
  for (std::int64_t step = 0; step < inner.steps; ++step) {
    rows.each([&](std::int64_t plane, std::int64_t row, std::int64_t at, BlurScratch& scratch) {
      float* const seen = spread.data() + at * spread_width + margin;
      plan.forward(row, prepared.data() + plane * shape.height * prepared_width, seen, scratch);
      for (std::int64_t j = 0; j < width; ++j) seen[j] += first[static_cast<std::size_t>(at * width + j)];
    });
    rows.each([&](std::int64_t plane, std::int64_t row, std::int64_t at, BlurScratch& scratch) {
      float* const pull = scratch.folded.data();
      plan.adjoint(row, spread.data() + plane * shape.height * spread_width, pull, scratch);
      run.descend_row(out + at * width, pull, width, descent);
      plan.prepare(out + at * width, prepared.data() + at * prepared_width, scratch);
    });
  }
  for (std::int64_t i = 0; i < size; ++i) out[i] += xhat[i];
}

}  // namespace lmaps
