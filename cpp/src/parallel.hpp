// Loops whose turns are shared out to threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lmaps/runtime.hpp"
#include "pool.hpp"

namespace lmaps {

// task(i, worker) for i in [0, tasks), worker in [0, workers): a worker runs one task at a time, so scratch memory can be kept
// for each. Tasks must be independent and must not throw.
template <class Task>
void parallel_for(std::int64_t tasks, int workers, const Task& task) {
  pool::run(tasks, static_cast<int>(std::min<std::int64_t>(workers, tasks)), &task,
            [](const void* context, std::int64_t i, int worker) { (*static_cast<const Task*>(context))(i, worker); });
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
