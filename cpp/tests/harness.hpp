// A few lines instead of a test library: EXPECT reports and counts, TEST registers, main runs every test under every variant
// of the machine code that this processor can run.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "lmaps/lmaps.hpp"

namespace harness {

struct Test {
  const char* name;
  void (*run)();
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

inline int& failures() {
  static int count = 0;
  return count;
}

inline void expect(bool holds, const char* what, const char* file, int line) {
  if (holds) return;
  std::fprintf(stderr, "%s:%d (%s): expected %s\n", file, line, lmaps::isa().c_str(), what);
  ++failures();
}

struct Register {
  Register(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

// Reports unless `call` throws std::invalid_argument with `part` in its message.
template <class Call>
void expect_refusal(const char* part, const Call& call, const char* file, int line) {
  try {
    call();
    expect(false, (std::string("a refusal that says ") + part).c_str(), file, line);
  } catch (const std::invalid_argument& error) {
    expect(std::strstr(error.what(), part) != nullptr, (std::string(part) + " in: " + error.what()).c_str(), file, line);
  }
}

// Exactly as long as asked for, so that AddressSanitizer sees a step too far.
inline std::vector<float> random_floats(std::int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> distribution(-1.0f, 1.0f);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = distribution(generator);
  return values;
}

inline std::vector<float> poisoned(std::int64_t count) {
  return std::vector<float>(static_cast<std::size_t>(count), std::nanf(""));
}

// ||a - b|| / ||b||
template <class A, class B>
double relative(const std::vector<A>& a, const std::vector<B>& b) {
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    const double d = double(a[i]) - double(b[i]);
    difference += d * d;
    size += double(b[i]) * double(b[i]);
  }
  return std::sqrt(difference / size);
}

inline double dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += double(a[i]) * double(b[i]);
  return sum;
}

}  // namespace harness

#define EXPECT(condition) harness::expect((condition), #condition, __FILE__, __LINE__)
#define EXPECT_REFUSAL(part, call) harness::expect_refusal(part, [&] { call; }, __FILE__, __LINE__)
#define TEST(name)                                           \
  static void name();                                        \
  static const harness::Register register_##name(#name, name); \
  static void name()

int main() {
  for (const std::string& isa : lmaps::available_isas()) {
    lmaps::force_isa(isa);
    for (const harness::Test& test : harness::tests()) {
      const int before = harness::failures();
      test.run();
      std::printf("%s %s [%s]\n", harness::failures() == before ? "ok  " : "FAIL", test.name, isa.c_str());
    }
  }
  return harness::failures() == 0 ? 0 : 1;
}
