// The passes of a Fourier transform and their factors, worked out in double precision.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/table.hpp"

namespace lmaps {

// Throws std::invalid_argument naming the argument unless there is a plan for `length` and it is at least `least`.
void require_fourier_length(const char* name, std::int64_t length, std::int64_t least);

class FourierTable {
 public:
  explicit FourierTable(std::int64_t length);
  // `plan` points into `twiddles_`, whose memory stays where it is when the table is moved.
  FourierTable(FourierTable&&) = default;
  FourierTable(const FourierTable&) = delete;
  FourierTable& operator=(const FourierTable&) = delete;

  const FourierPlan& plan() const { return plan_; }

 private:
  std::vector<float> twiddles_;
  FourierPlan plan_{};
};

}  // namespace lmaps
