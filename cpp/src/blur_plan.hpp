// What a blur is for pictures of one size: which rows and columns every output entry reads, and the way back.
#pragma once

#include <cstdint>
#include <vector>

#include "dispatch.hpp"
#include "lmaps/blur.hpp"

namespace lmaps {

// One side of the picture with its extension. Position p of the extended side shows entry source[p], or nothing (-1).
struct ExtendedAxis {
  std::int64_t length;
  std::int64_t pad;
  std::vector<std::int64_t> source;
  std::vector<std::vector<std::int64_t>> shown_at;  // for each entry, the positions that show it

  ExtendedAxis(std::int64_t length, std::int64_t pad, Padding padding);
};

struct Tap {
  std::int64_t row;
  std::int64_t column;
  float weight;
};

// Zeros that the kernels may read from, kReadAhead entries beyond the last row included.
std::vector<float> row_memory(std::int64_t entries);

// Scratch memory of one worker.
struct BlurScratch {
  std::vector<const float*> rows;
  std::vector<float> weights;
  std::vector<float> extended;  // a row with its extension
  std::vector<float> margins;   // a row between two margins of zeros
  std::vector<float> folded;    // a row of the picture
};

// A plane passes through H in two steps, each a row at a time: `prepare` every row, then `forward` from the prepared ones.
// For the adjoint the rows of the measurement stand between margins of zeros (`margin` wide, rows `spread_width` apart).
class BlurPlan {
 public:
  BlurPlan(const BlurKernel& kernel, Padding padding, std::int64_t height, std::int64_t width);

  std::int64_t prepared_width() const { return separable_ ? across_.length : extended_width(); }
  std::int64_t spread_width() const { return across_.length + 2 * margin(); }
  std::int64_t margin() const { return separable_ ? 0 : reach_; }
  BlurScratch scratch() const;

  void prepare(const float* row, float* prepared, BlurScratch& scratch) const;
  void forward(std::int64_t row, const float* prepared, float* to, BlurScratch& scratch) const;
  void adjoint(std::int64_t row, const float* spread, float* to, BlurScratch& scratch) const;

 private:
  std::int64_t extended_width() const { return across_.length + 2 * across_.pad; }
  void extend(const float* row, float* to) const;
  void fold(const float* extended, float* to) const;
  void sum_rows_behind(std::int64_t row, const float* spread, float* to, std::int64_t count, BlurScratch& scratch) const;
  void sum(float* to, std::int64_t count, std::size_t taps, const BlurScratch& scratch, bool add) const;

  ExtendedAxis down_, across_;
  std::int64_t reach_;            // kernel width - 1
  bool separable_;
  std::vector<Tap> taps_;         // all weights; of a separable kernel those of its column
  std::vector<Tap> row_taps_;     // of a separable kernel those of its row
  const Kernels& run_;
};

}  // namespace lmaps
