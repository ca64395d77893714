#include <algorithm>

#include "harness.hpp"

TEST(variants) {
  const std::vector<std::string> names = lmaps::available_isas();
  EXPECT(names.front() == "plain");
  const std::string before = lmaps::isa();
  lmaps::force_isa("auto");
  EXPECT(lmaps::isa() == names.back());
  lmaps::force_isa(before);
  EXPECT(lmaps::isa() == before);
  EXPECT_REFUSAL("choose one of: auto, plain", lmaps::force_isa("sse9"));
  EXPECT(lmaps::isa() == before);
}

TEST(thread_counts) {
  const int before = lmaps::threads();
  EXPECT(before >= 1);
  EXPECT_REFUSAL("count", lmaps::set_threads(0));
  EXPECT_REFUSAL("count", lmaps::set_threads(100000));
  EXPECT(lmaps::threads() == before);
}

// The work is cut by its size alone, so the bits do not depend on how many threads share it.
TEST(threads_do_not_change_the_result) {
  const lmaps::Shape shape{3, 3, 33, 70};
  const std::vector<float> x = harness::random_floats(shape.size(), 1), y = harness::random_floats(shape.size(), 2);
  const std::vector<float> kernel = harness::random_floats(25, 3);
  std::vector<float> results[2] = {harness::poisoned(shape.size()), harness::poisoned(shape.size())};
  const int before = lmaps::threads();
  for (int i = 0; i < 2; ++i) {
    lmaps::set_threads(i == 0 ? 1 : 3);
    lmaps::blur_steps(x.data(), y.data(), results[i].data(), shape, lmaps::BlurKernel::full(kernel.data(), 5, 5),
                      lmaps::Padding::reflect, {0.5, 0.1, 0.1, 3});
  }
  lmaps::set_threads(before);
  EXPECT(results[0] == results[1]);
}
