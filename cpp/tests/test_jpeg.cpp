#include "harness.hpp"

using lmaps::JpegFormat;
using lmaps::Shape;

namespace {

std::vector<float> table(float step) { return std::vector<float>(64, step); }

}  // namespace

// A flat grey picture has one coefficient a block, 8 (255 (v + 1) / 2 - 128), and nothing else.
TEST(flat_pictures_keep_the_rounded_mean) {
  const std::vector<float> steps = table(20.0f);
  const JpegFormat format{steps.data(), steps.data(), steps.data(), 2, 2, false};
  for (const float value : {-0.9f, -0.1f, 0.3f, 0.77f}) {
    const Shape shape{1, 3, 21, 35};
    const std::vector<float> x(static_cast<std::size_t>(shape.size()), value);
    std::vector<float> seen = harness::poisoned(shape.size());
    lmaps::jpeg_forward(x.data(), seen.data(), shape, format);
    const double mean = 8.0 * (127.5 * (value + 1.0) - 128.0);
    const double expected = (std::nearbyint(mean / 20.0) * 20.0 / 8.0 + 128.0) / 127.5 - 1.0;
    for (const float s : seen) EXPECT(std::fabs(s - expected) < 2e-6);
  }
}

// With steps far below a float's precision rounding does nothing, and without subsampling H is the identity.
TEST(fine_tables_change_nothing) {
  const std::vector<float> steps = table(1e-3f);
  for (const std::int64_t channels : {1, 3}) {
    const Shape shape{2, channels, 19, 27};
    const std::vector<float> x = harness::random_floats(shape.size(), 1);
    std::vector<float> seen = harness::poisoned(shape.size());
    lmaps::jpeg_forward(x.data(), seen.data(), shape, {steps.data(), steps.data(), steps.data(), 1, 1, false});
    EXPECT(harness::relative(seen, x) < 1e-5);
  }
}

// Steps on coefficients (whole macroblocks) against steps written out with jpeg_forward.
TEST(steps_are_the_literal_steps) {
  const std::vector<float> luma = table(30.0f), cb = table(45.0f), cr = table(60.0f);
  const int samplings[][2] = {{1, 1}, {1, 2}, {2, 2}, {2, 1}, {1, 4}};
  for (const auto& sampling : samplings) {
    for (const bool average : {false, true}) {
      const JpegFormat format{luma.data(), cb.data(), cr.data(), sampling[0], sampling[1], average};
      const Shape shape{2, 3, 37, 43};
      const std::vector<float> xhat = harness::random_floats(shape.size(), 4), y = harness::random_floats(shape.size(), 5);
      std::vector<float> out = harness::poisoned(shape.size()), x = xhat, seen = harness::poisoned(shape.size());
      lmaps::jpeg_steps(xhat.data(), y.data(), out.data(), shape, format, {0.3, 0.8, 0.5, 2});
      for (int step = 0; step < 2; ++step) {
        lmaps::jpeg_forward(x.data(), seen.data(), shape, format);
        for (std::size_t i = 0; i < x.size(); ++i) {
          x[i] -= 0.5f * (0.7f * (x[i] - xhat[i]) + 0.3f * 0.8f * (seen[i] - y[i]));
        }
      }
      // A coefficient near the middle between two steps may fall to either side; nearly all do not.
      std::size_t apart = 0;
      for (std::size_t i = 0; i < x.size(); ++i) apart += std::fabs(x[i] - out[i]) > 2e-5f;
      EXPECT(apart < x.size() / 20);
    }
  }
}

TEST(refusals) {
  const std::vector<float> steps = table(9.0f);
  const std::vector<float> zero = table(0.0f);
  const Shape shape{1, 3, 16, 16};
  const std::vector<float> x = harness::random_floats(shape.size(), 1);
  std::vector<float> out = harness::poisoned(shape.size());
  const float* good = steps.data();
  EXPECT_REFUSAL("luma_table", lmaps::jpeg_forward(x.data(), out.data(), shape, {nullptr, good, good, 2, 2, false}));
  EXPECT_REFUSAL("cb_table", lmaps::jpeg_forward(x.data(), out.data(), shape, {good, zero.data(), good, 2, 2, false}));
  EXPECT_REFUSAL("cr_table", lmaps::jpeg_forward(x.data(), out.data(), shape, {good, good, nullptr, 2, 2, false}));
  EXPECT_REFUSAL("chroma_down", lmaps::jpeg_forward(x.data(), out.data(), shape, {good, good, good, 3, 2, false}));
  EXPECT_REFUSAL("channels", lmaps::jpeg_forward(x.data(), out.data(), {1, 2, 8, 8}, {good, good, good, 2, 2, false}));
  EXPECT_REFUSAL("x must", lmaps::jpeg_forward(nullptr, out.data(), shape, {good, good, good, 2, 2, false}));
}
