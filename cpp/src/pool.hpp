// The threads that share the work of a call: one pool a process, started when it is first needed.
//
// The caller works too, and waits only for threads that have begun: where other programs hold the cores, whoever runs does the
// work. (An OpenMP team waits for its every member, and polls for milliseconds afterwards on cores that others could use.)
#pragma once

#include <cstdint>

namespace lmaps::pool {

using Task = void (*)(const void* context, std::int64_t i, int worker);

// task(context, i, worker) for i in [0, tasks), worker in [0, workers): a worker runs one task at a time. Calls from several
// threads at once are safe: one has the pool, the others do their work alone, as does the child of a fork until it asks again.
void run(std::int64_t tasks, int workers, const void* context, Task task);

}  // namespace lmaps::pool
