// Work shared out to OpenMP threads, or done in order where the library was built without OpenMP.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lmaps/runtime.hpp"

namespace lmaps {

// task(i) for i in [0, tasks); tasks must be independent and must not throw.
template <class Task>
void parallel_for(std::int64_t tasks, const Task& task) {
#if defined(_OPENMP)
  const int team = static_cast<int>(std::min<std::int64_t>(threads(), tasks));
  if (team > 1) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(team)
    for (std::int64_t i = 0; i < tasks; ++i) task(i);
    return;
  }
#endif
  for (std::int64_t i = 0; i < tasks; ++i) task(i);
}

// task(group, begin, count) over pieces of `size` entries in each of `groups` groups. The pieces depend on the sizes alone.
template <class Task>
void parallel_pieces(std::int64_t groups, std::int64_t size, const Task& task) {
  constexpr std::int64_t piece = 8192;
  const std::int64_t pieces = (size + piece - 1) / piece;
  parallel_for(groups * pieces, [&](std::int64_t i) {
    const std::int64_t begin = i % pieces * piece;
    task(i / pieces, begin, std::min(piece, size - begin));
  });
}

}  // namespace lmaps
