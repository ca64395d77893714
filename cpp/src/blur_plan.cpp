#include "blur_plan.hpp"

#include <algorithm>
#include <cstring>

#include "check.hpp"

namespace lmaps {
namespace {

std::int64_t source_of(std::int64_t position, std::int64_t length, Padding padding) {
  if (position >= 0 && position < length) return position;
  switch (padding) {
    case Padding::reflect: return position < 0 ? -position : 2 * (length - 1) - position;
    case Padding::circular: return position < 0 ? position + length : position - length;
    case Padding::replicate: return position < 0 ? 0 : length - 1;
    case Padding::zero: return -1;
  }
  check::fail("padding is none of the four kinds");
}

ExtendedAxis axis_of(const char* side, std::int64_t length, std::int64_t kernel_side, Padding padding) {
  if (kernel_side < 1 || kernel_side > 4095 || kernel_side % 2 == 0) {
    check::fail(std::string("kernel.") + side + " must be odd and in 1..4095, got " + std::to_string(kernel_side));
  }
  const std::int64_t pad = kernel_side / 2, most = padding == Padding::reflect ? length - 1 : length;
  if ((padding == Padding::reflect || padding == Padding::circular) && pad > most) {
    check::fail(std::string("kernel.") + side + " reaches " + std::to_string(pad) + " entries beyond the picture, but " +
                (padding == Padding::reflect ? "reflect" : "circular") + " padding of " + std::to_string(length) +
                " entries has only " + std::to_string(most));
  }
  return {length, pad, padding};
}

std::vector<Tap> taps_of(const char* name, const float* weights, std::int64_t height, std::int64_t width) {
  check::present(check::range(name, weights, height * width));
  std::vector<Tap> taps;
  for (std::int64_t i = 0; i < height; ++i) {
    for (std::int64_t j = 0; j < width; ++j) {
      const float weight = weights[i * width + j];
      if (!std::isfinite(weight)) check::fail(std::string(name) + " must hold finite numbers, got " + std::to_string(weight));
      if (weight != 0.0f) taps.push_back({i, j, weight});
    }
  }
  return taps;
}

}  // namespace

std::vector<float> row_memory(std::int64_t entries) { return std::vector<float>(static_cast<std::size_t>(entries + kReadAhead)); }

ExtendedAxis::ExtendedAxis(std::int64_t length_, std::int64_t pad_, Padding padding)
    : length(length_), pad(pad_), shown_at(static_cast<std::size_t>(length_)) {
  for (std::int64_t p = -pad; p < length + pad; ++p) {
    source.push_back(source_of(p, length, padding));
    if (source.back() >= 0) shown_at[static_cast<std::size_t>(source.back())].push_back(p + pad);
  }
}

BlurPlan::BlurPlan(const BlurKernel& kernel, Padding padding, std::int64_t height, std::int64_t width)
    : down_(axis_of("height", height, kernel.height, padding)),
      across_(axis_of("width", width, kernel.width, padding)),
      reach_(kernel.width - 1),
      separable_(kernel.weights == nullptr),
      taps_(separable_ ? taps_of("kernel.column", kernel.column, kernel.height, 1)
                       : taps_of("kernel.weights", kernel.weights, kernel.height, kernel.width)),
      row_taps_(separable_ ? taps_of("kernel.row", kernel.row, 1, kernel.width) : std::vector<Tap>{}),
      run_(kernels()) {}

BlurScratch BlurPlan::scratch() const {
  const std::size_t taps = std::max(taps_.size(), row_taps_.size());
  return {std::vector<const float*>(taps), std::vector<float>(taps), row_memory(extended_width()),
          row_memory(across_.length + 2 * reach_), row_memory(across_.length)};
}

void BlurPlan::sum(float* to, std::int64_t count, std::size_t taps, const BlurScratch& scratch, bool add) const {
  run_.weighted_rows(to, count, scratch.rows.data(), scratch.weights.data(), static_cast<std::int64_t>(taps), add);
}

void BlurPlan::extend(const float* row, float* to) const {
  std::memcpy(to + across_.pad, row, static_cast<std::size_t>(across_.length) * sizeof(float));
  const auto show = [&](std::int64_t position) {
    const std::int64_t source = across_.source[static_cast<std::size_t>(position)];
    to[position] = source < 0 ? 0.0f : row[source];
  };
  for (std::int64_t p = 0; p < across_.pad; ++p) {
    show(p);
    show(across_.pad + across_.length + p);
  }
}

void BlurPlan::fold(const float* extended, float* to) const {
  std::memcpy(to, extended + across_.pad, static_cast<std::size_t>(across_.length) * sizeof(float));
  const auto give_back = [&](std::int64_t position) {
    const std::int64_t source = across_.source[static_cast<std::size_t>(position)];
    if (source >= 0) to[source] += extended[position];
  };
  for (std::int64_t p = 0; p < across_.pad; ++p) {
    give_back(p);
    give_back(across_.pad + across_.length + p);
  }
}

void BlurPlan::prepare(const float* row, float* prepared, BlurScratch& scratch) const {
  if (!separable_) return extend(row, prepared);
  extend(row, scratch.extended.data());
  for (std::size_t t = 0; t < row_taps_.size(); ++t) {
    scratch.rows[t] = scratch.extended.data() + row_taps_[t].column;
    scratch.weights[t] = row_taps_[t].weight;
  }
  sum(prepared, across_.length, row_taps_.size(), scratch, false);
}

void BlurPlan::forward(std::int64_t row, const float* prepared, float* to, BlurScratch& scratch) const {
  std::size_t used = 0;
  for (const Tap& tap : taps_) {
    const std::int64_t source = down_.source[static_cast<std::size_t>(row + tap.row)];
    if (source < 0) continue;
    scratch.rows[used] = prepared + source * prepared_width() + tap.column;
    scratch.weights[used++] = tap.weight;
  }
  sum(to, across_.length, used, scratch, false);
}

// The rows of the measurement that entry row `row` of the picture reached, each weighted as it was.
void BlurPlan::sum_rows_behind(std::int64_t row, const float* spread, float* to, std::int64_t count,
                               BlurScratch& scratch) const {
  bool add = false;
  for (const std::int64_t position : down_.shown_at[static_cast<std::size_t>(row)]) {
    std::size_t used = 0;
    for (const Tap& tap : taps_) {
      const std::int64_t source = position - tap.row;
      if (source < 0 || source >= down_.length) continue;
      scratch.rows[used] = spread + source * spread_width() + (separable_ ? 0 : reach_ - tap.column);
      scratch.weights[used++] = tap.weight;
    }
    sum(to, count, used, scratch, add);
    add = true;
  }
}

void BlurPlan::adjoint(std::int64_t row, const float* spread, float* to, BlurScratch& scratch) const {
  float* const extended = scratch.extended.data();
  if (separable_) {
    sum_rows_behind(row, spread, scratch.margins.data() + reach_, across_.length, scratch);
    for (std::size_t t = 0; t < row_taps_.size(); ++t) {
      scratch.rows[t] = scratch.margins.data() + reach_ - row_taps_[t].column;
      scratch.weights[t] = row_taps_[t].weight;
    }
    sum(extended, extended_width(), row_taps_.size(), scratch, false);
  } else {
    sum_rows_behind(row, spread, extended, extended_width(), scratch);
  }
  fold(extended, to);
}

}  // namespace lmaps
