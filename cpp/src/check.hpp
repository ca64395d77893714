// Argument checks. Each throws std::invalid_argument with a message that names the argument, its value and the mend.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>

#include "lmaps/types.hpp"

namespace lmaps::check {

[[noreturn]] inline void fail(const std::string& message) { throw std::invalid_argument(message); }

// A read or written block of memory, and what to call it in a message.
struct Range {
  const char* name;
  const void* data;
  std::size_t bytes;
};

template <class T>
Range range(const char* name, const T* data, std::int64_t count) {
  return {name, data, static_cast<std::size_t>(count) * sizeof(T)};
}

inline void present(const Range& block) {
  if (block.data == nullptr) fail(std::string(block.name) + " must not be a null pointer");
}

inline void apart(const Range& written, const Range& read) {
  const std::less<const char*> before;
  const char* a = static_cast<const char*>(written.data);
  const char* b = static_cast<const char*>(read.data);
  if (before(a, b + read.bytes) && before(b, a + written.bytes)) {
    fail(std::string(written.name) + " overlaps " + read.name + " in memory; give it memory of its own");
  }
}

// Every pointer is set, and the output shares no memory with any input.
template <class... Inputs>
void memory(const Range& output, const Inputs&... inputs) {
  present(output);
  (present(inputs), ...);
  (apart(output, inputs), ...);
}

inline void at_least(const char* name, std::int64_t value, std::int64_t least) {
  if (value < least) fail(std::string(name) + " must be at least " + std::to_string(least) + ", got " + std::to_string(value));
}

inline void shape(const Shape& shape) {
  constexpr std::int64_t limit = std::int64_t{1} << 40;
  const std::int64_t sides[] = {shape.batch, shape.channels, shape.height, shape.width};
  const char* const names[] = {"shape.batch", "shape.channels", "shape.height", "shape.width"};
  std::int64_t size = 1;
  for (int i = 0; i < 4; ++i) {
    at_least(names[i], sides[i], 1);
    if (sides[i] > limit / size) fail("shape has more than 2^40 entries; split the batch");
    size *= sides[i];
  }
}

inline void within(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high)) {
    fail(std::string(name) + " must be a number in [" + std::to_string(low) + ", " + std::to_string(high) + "], got " +
         std::to_string(value));
  }
}

inline void finite(const char* name, double value) {
  if (!std::isfinite(value)) fail(std::string(name) + " must be finite, got " + std::to_string(value));
}

inline void not_negative(const char* name, double value) {
  finite(name, value);
  if (value < 0) fail(std::string(name) + " must not be negative, got " + std::to_string(value));
}

inline void positive(const char* name, double value) {
  finite(name, value);
  if (value <= 0) fail(std::string(name) + " must be greater than 0, got " + std::to_string(value));
}

inline void inner(const Inner& inner) {
  within("r", inner.r, 0.0, 1.0);
  not_negative("k2", inner.k2);
  finite("eta", inner.eta);
  at_least("steps", inner.steps, 0);
}

// For the loops that take the steps one by one.
inline void stepped(const Inner& inner_problem) {
  inner(inner_problem);
  if (inner_problem.steps == exact) fail("steps must be a number here; only the spectral filter can go to the minimum itself");
}

}  // namespace lmaps::check
