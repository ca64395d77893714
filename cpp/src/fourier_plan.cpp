#include "fourier_plan.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "check.hpp"

namespace lmaps {
namespace {

constexpr double kTau = 6.283185307179586476925286766559;

// Radix 8 does most work a visit to memory; what is left of the power of two goes to 4 and 2.
std::vector<int> radices(std::int64_t length) {
  std::vector<int> found;
  for (const int radix : {8, 5, 4, 3, 2}) {
    // 16 = 4 * 4 is quicker than 8 * 2.
    while (length % radix == 0 && !(radix == 8 && length % 16 == 0 && length % 32 != 0 && length % 64 != 0)) {
      found.push_back(radix);
      length /= radix;
    }
  }
  return found;
}

bool smooth(std::int64_t length) {
  for (const int prime : {2, 3, 5}) {
    while (length % prime == 0) length /= prime;
  }
  return length == 1;
}

}  // namespace

void require_fourier_length(const char* name, std::int64_t length, std::int64_t least) {
  constexpr std::int64_t limit = 1 << 15;
  if (length < std::max<std::int64_t>(least, 1) || length > limit || !smooth(length)) {
    check::fail(std::string(name) + " must be a product of 2, 3 and 5 from " + std::to_string(least) + " to " +
                std::to_string(limit) + ", got " + std::to_string(length));
  }
}

FourierTable::FourierTable(std::int64_t length) {
  plan_.length = length;
  std::int64_t left = length, stride = 1;
  std::vector<std::int64_t> starts;
  for (const int radix : radices(length)) {
    const std::int64_t groups = left / radix;
    starts.push_back(static_cast<std::int64_t>(twiddles_.size()));
    plan_.pass[plan_.passes++] = {radix, groups, stride, nullptr};
    for (std::int64_t group = 0; group < groups; ++group) {
      for (int k = 1; k < radix; ++k) {
        const double angle = -kTau * static_cast<double>(group * k % left) / static_cast<double>(left);
        twiddles_.push_back(static_cast<float>(std::cos(angle)));
        twiddles_.push_back(static_cast<float>(std::sin(angle)));
      }
    }
    left = groups;
    stride *= radix;
  }
  for (int i = 0; i < plan_.passes; ++i) plan_.pass[i].twiddles = twiddles_.data() + starts[static_cast<std::size_t>(i)];
}

}  // namespace lmaps
