#include "../src/pool.hpp"

#include <atomic>
#include <chrono>
#include <thread>

#include "harness.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace {

constexpr int kWorkers = 4;

// How often each turn was taken, and what the workers were seen to do wrong.
struct Seen {
  explicit Seen(std::size_t tasks) : turns(tasks) {}

  std::vector<std::atomic<int>> turns;
  std::atomic<bool> busy[kWorkers] = {};
  std::atomic<int> wrong{0};
  std::int64_t plain[kWorkers] = {};  // each worker's own, so no atomic is needed

  static void turn(const void* context, std::int64_t i, int worker) {
    Seen& seen = *static_cast<Seen*>(const_cast<void*>(context));
    if (worker < 0 || worker >= kWorkers || seen.busy[worker].exchange(true)) {
      ++seen.wrong;
      return;
    }
    ++seen.turns[static_cast<std::size_t>(i)];
    ++seen.plain[worker];
    seen.busy[worker] = false;
  }

  bool each_once() const {
    std::int64_t total = 0;
    for (const std::int64_t count : plain) total += count;
    bool once = wrong == 0 && total == static_cast<std::int64_t>(turns.size());
    for (const std::atomic<int>& count : turns) once = once && count == 1;
    return once;
  }
};

bool shared_out(std::int64_t tasks) {
  Seen seen(static_cast<std::size_t>(tasks));
  lmaps::pool::run(tasks, kWorkers, &seen, &Seen::turn);
  return seen.each_once();
}

}  // namespace

TEST(every_turn_is_taken_once) {
  for (const std::int64_t tasks : {0, 1, 2, 3, 5, 64, 1000}) EXPECT(shared_out(tasks));
}

// Jobs that follow at once, and jobs that find the threads asleep.
TEST(many_jobs) {
  bool all = true;
  for (int job = 0; job < 20000; ++job) all = all && shared_out(1 + job % 7);
  for (int job = 0; job < 200; ++job) {
    std::this_thread::sleep_for(std::chrono::microseconds(job));
    all = all && shared_out(16);
  }
  EXPECT(all);
}

TEST(other_threads_help) {
  std::atomic<int> inside{0};
  const auto wait_for_another = [](const void* context, std::int64_t, int) {
    std::atomic<int>& count = *static_cast<std::atomic<int>*>(const_cast<void*>(context));
    ++count;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (count < 2 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  };
  lmaps::pool::run(2, 2, &inside, wait_for_another);
  EXPECT(inside == 2);
}

TEST(callers_at_once) {
  std::atomic<bool> all{true};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&all] {
      for (int job = 0; job < 2000; ++job) {
        if (!shared_out(1 + job % 9)) all = false;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT(all);
}

#if (defined(__unix__) || defined(__APPLE__)) && !defined(__SANITIZE_THREAD__)
// The child has none of the parent's threads; a team of OpenMP's hangs there.
TEST(after_a_fork) {
  EXPECT(shared_out(64));
  const pid_t child = fork();
  if (child == 0) _exit(shared_out(64) && shared_out(64) ? 0 : 1);
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT(shared_out(64));
}
#endif
