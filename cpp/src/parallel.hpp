// Work shared out to OpenMP threads, or done in order where the library was built without OpenMP.
#pragma once

#include <algorithm>
#include <cstdint>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "lmaps/runtime.hpp"

namespace lmaps {

// task(i, worker) for i in [0, tasks), worker in [0, workers): a worker runs one task at a time, so scratch memory can be kept
// for each. Tasks must be independent and must not throw.
template <class Task>
void parallel_for(std::int64_t tasks, int workers, const Task& task) {
#if defined(_OPENMP)
  const int team = static_cast<int>(std::min<std::int64_t>(workers, tasks));
  if (team > 1) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(team)
    for (std::int64_t i = 0; i < tasks; ++i) task(i, omp_get_thread_num());
    return;
  }
#endif
  static_cast<void>(workers);
  for (std::int64_t i = 0; i < tasks; ++i) task(i, 0);
}

template <class Task>
void parallel_for(std::int64_t tasks, const Task& task) {
  parallel_for(tasks, threads(), [&](std::int64_t i, int) { task(i); });
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
