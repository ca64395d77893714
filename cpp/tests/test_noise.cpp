#include "harness.hpp"

using lmaps::normal;
using lmaps::philox_words;
using lmaps::transition;

// The known answers published with Random123 for philox4x32, 10 rounds.
TEST(known_answers) {
  const std::uint32_t ones = 0xFFFFFFFFu;
  struct Known {
    std::uint32_t counter[4];
    std::uint64_t key;
    std::uint32_t words[4];
  };
  const Known known[] = {
      {{0, 0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{ones, ones, ones, ones}, ~std::uint64_t{0}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (const Known& k : known) {
    std::uint32_t words[4];
    philox_words(words, 1, k.key, k.counter[1], k.counter[2], k.counter[0], k.counter[3]);
    for (int i = 0; i < 4; ++i) EXPECT(words[i] == k.words[i]);
  }
}

TEST(normals_are_box_muller_of_the_words) {
  const std::int64_t count = 10007;
  std::vector<float> numbers = harness::poisoned(count);
  normal(numbers.data(), count, 77, 3, 1);
  std::vector<std::uint32_t> words(4 * ((count + 3) / 4));
  philox_words(words.data(), (count + 3) / 4, 77, 3, 1);
  double worst = 0.0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::size_t pair = static_cast<std::size_t>(i / 2 * 2);
    const float u = (static_cast<float>(words[pair] >> 8) + 0.5f) * 0x1p-24f;
    const float v = (static_cast<float>(words[pair + 1] >> 8) + 0.5f) * 0x1p-24f;
    const double radius = std::sqrt(-2.0 * std::log(double(u))), angle = 6.283185307179586 * double(v);
    const double expected = radius * (i % 2 ? std::sin(angle) : std::cos(angle));
    worst = std::fmax(worst, std::fabs(expected - double(numbers[static_cast<std::size_t>(i)])));
  }
  EXPECT(worst < 3e-6);
}

TEST(a_piece_of_the_stream_is_the_stream) {
  const std::int64_t count = 20011;
  std::vector<float> all = harness::poisoned(count), few = harness::poisoned(5);
  normal(all.data(), count, 5, 0, 0);
  normal(few.data(), 5, 5, 0, 0);
  for (std::size_t i = 0; i < few.size(); ++i) EXPECT(all[i] == few[i]);
}

TEST(transition_follows_equation_2) {
  const std::int64_t size = 3 * 17 * 19;
  const std::vector<float> x0 = harness::random_floats(2 * size, 1), x = harness::random_floats(2 * size, 2);
  std::vector<float> next = harness::poisoned(2 * size), noise = harness::poisoned(2 * size);
  const std::uint64_t seeds[] = {9, ~std::uint64_t{4}};
  transition(x0.data(), x.data(), next.data(), 2, size, 3.0, 2.0, 0.6, seeds, 8);
  normal(noise.data(), size, seeds[0], 8, 0);
  normal(noise.data() + size, size, seeds[1], 8, 0);
  std::vector<double> expected;
  for (std::size_t i = 0; i < x.size(); ++i) {
    expected.push_back(x0[i] + 2.0 * (0.8 * (double(x[i]) - x0[i]) / 3.0 + 0.6 * noise[i]));
  }
  EXPECT(harness::relative(next, expected) < 2e-7);
  transition(x0.data(), x.data(), next.data(), 2, size, 3.0, 0.0, 1.0, seeds, 8);
  EXPECT(next == x0);
}

TEST(refusals) {
  const std::uint64_t seed = 1;
  std::vector<float> x(10);
  EXPECT_REFUSAL("out", normal(nullptr, 3, 1, 0, 0));
  EXPECT_REFUSAL("count", normal(x.data(), -1, 1, 0, 0));
  EXPECT_REFUSAL("blocks", philox_words(nullptr, -2, 1, 0, 0));
  EXPECT_REFUSAL("x0", transition(nullptr, x.data(), x.data() + 5, 1, 5, 1, 1, 1, &seed, 0));
  EXPECT_REFUSAL("x_next overlaps x", transition(x.data(), x.data() + 4, x.data() + 5, 1, 5, 1, 1, 1, &seed, 0));
  EXPECT_REFUSAL("seeds", transition(x.data(), x.data(), x.data() + 5, 1, 5, 1, 1, 1, nullptr, 0));
  EXPECT_REFUSAL("sigma", transition(x.data(), x.data(), x.data() + 5, 1, 5, 0, 1, 1, &seed, 0));
  EXPECT_REFUSAL("sigma_next", transition(x.data(), x.data(), x.data() + 5, 1, 5, 1, -1, 1, &seed, 0));
  EXPECT_REFUSAL("rho", transition(x.data(), x.data(), x.data() + 5, 1, 5, 1, 1, 1.5, &seed, 0));
}
