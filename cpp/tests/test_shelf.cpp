// Working memory that is kept between calls: calls side by side on one plan must not share it, nor must what one call left in it
// reach another.
#include <thread>

#include "harness.hpp"

namespace {

constexpr std::int64_t kHeight = 8, kWidth = 12, kSize = kHeight * kWidth;

std::vector<std::int32_t> counted(std::int64_t length) {
  std::vector<std::int32_t> values;
  for (std::int64_t i = 0; i < length; ++i) values.push_back(static_cast<std::int32_t>(i));
  return values;
}

lmaps::Correlation correlation() {
  std::vector<std::complex<float>> response(static_cast<std::size_t>((kHeight / 2 + 1) * kWidth), {0.5f, 0.25f});
  return {kHeight, kWidth, counted(kHeight), counted(kWidth), kHeight, kWidth, response.data()};
}

std::vector<float> series(const lmaps::Correlation& h, std::int64_t planes, unsigned seed) {
  const std::vector<float> g = harness::random_floats(planes * kSize, seed);
  const float coefficients[] = {0.5f, 0.25f, -0.5f};
  std::vector<float> out(g.size());
  h.series(g.data(), out.data(), planes, coefficients, 3, 1.0);
  return out;
}

std::vector<float> retrieved(const lmaps::PhaseRetrieval& phase, std::int64_t planes, unsigned seed) {
  const std::vector<float> xhat = harness::random_floats(planes * kSize, seed);
  const std::vector<float> y(static_cast<std::size_t>(planes * phase.half() * phase.across()), 1.0f);
  std::vector<float> out(xhat.size());
  phase.steps(xhat.data(), y.data(), out.data(), planes, {0.5, 1.0, 0.5, 3});
  return out;
}

// Every call on a plan that other calls, of other sizes, have used or are using, against the same on a plan of its own.
template <class Make, class Call>
void side_by_side(const Make& make, const Call& call) {
  constexpr unsigned kCallers = 4, kCalls = 12;
  const auto shared = make();
  std::vector<std::vector<float>> results(kCallers * kCalls);
  std::vector<std::thread> callers;
  for (unsigned caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&, caller] {
      for (unsigned i = 0; i < kCalls; ++i) results[caller * kCalls + i] = call(shared, 1 + i % 3, caller * kCalls + i);
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (unsigned i = 0; i < results.size(); ++i) EXPECT(results[i] == call(make(), 1 + i % kCalls % 3, i));
}

}  // namespace

TEST(correlations_side_by_side) { side_by_side(correlation, series); }

TEST(phase_retrievals_side_by_side) {
  side_by_side([] { return lmaps::PhaseRetrieval(kHeight, kWidth, 16, 24); }, retrieved);
}
