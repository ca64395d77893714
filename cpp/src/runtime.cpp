#include "lmaps/runtime.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <thread>

#include "check.hpp"
#include "dispatch.hpp"

#if defined(__linux__)
#include <sched.h>
#endif

namespace lmaps {
namespace {

struct Variant {
  const char* name;
  const Kernels* kernels;
  bool (*runs_here)();
};

// Narrowest first: the last one that runs here is the default.
const Variant kVariants[] = {
    {"plain", &plain::table, [] { return true; }},
#if defined(LMAPS_X86_VARIANTS)
    {"avx2", &avx2::table, [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }},
    {"avx512", &avx512::table,
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
     }},
#endif
};

const Variant* widest() {
  const Variant* best = kVariants;
  for (const Variant& variant : kVariants) {
    if (variant.runs_here()) best = &variant;
  }
  return best;
}

std::atomic<const Variant*>& chosen() {
  static std::atomic<const Variant*> variant{widest()};
  return variant;
}

constexpr int kMostThreads = 1024;

// The variable that users know, else every processor that this process may use.
int default_threads() {
  const char* const asked = std::getenv("OMP_NUM_THREADS");
  int count = asked == nullptr ? 0 : std::atoi(asked);
#if defined(__linux__)
  cpu_set_t usable;
  if (count < 1 && sched_getaffinity(0, sizeof(usable), &usable) == 0) count = CPU_COUNT(&usable);
#endif
  if (count < 1) count = static_cast<int>(std::thread::hardware_concurrency());
  return std::clamp(count, 1, kMostThreads);
}

std::atomic<int>& thread_count() {
  static std::atomic<int> count{default_threads()};
  return count;
}

}  // namespace

const Kernels& kernels() { return *chosen().load(std::memory_order_relaxed)->kernels; }

std::string isa() { return chosen().load()->name; }

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Variant& variant : kVariants) {
    if (variant.runs_here()) names.emplace_back(variant.name);
  }
  return names;
}

void force_isa(const std::string& name) {
  if (name == "auto") {
    chosen() = widest();
    return;
  }
  std::string valid = "auto";
  for (const Variant& variant : kVariants) {
    if (!variant.runs_here()) continue;
    if (name == variant.name) {
      chosen() = &variant;
      return;
    }
    valid += std::string(", ") + variant.name;
  }
  check::fail("name '" + name + "' is not a variant that this build and this processor can run; choose one of: " + valid);
}

int threads() { return thread_count(); }

void set_threads(int count) {
  if (count < 1 || count > kMostThreads) check::fail("count must be in 1..1024, got " + std::to_string(count));
  thread_count() = count;
}

}  // namespace lmaps
