#include "pool.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace lmaps::pool {
namespace {

// A call hands out work several times in a row; a thread that waits this long for the next share goes to sleep.
constexpr std::chrono::microseconds kPatience{50};

void breathe() {
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

// Polls for a short while. Returns whether `done` came true.
template <class Done>
bool poll(const Done& done) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  do {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      breathe();
    }
  } while (std::chrono::steady_clock::now() < until);
  return done();
}

class Pool {
 public:
  // False, with nothing done, while another call has the pool.
  bool try_run(std::int64_t tasks, int workers, const void* context, Task task) {
    if (taken_.exchange(true, std::memory_order_acquire)) return false;
    grow(workers - 1);
    tasks_ = tasks, workers_ = workers, context_ = context, task_ = task;
    next_.store(0, std::memory_order_relaxed);
    open();
    work(0);
    close();
    taken_.store(false, std::memory_order_release);
    return true;
  }

 private:
  // state_: the number of the job, whether it may be joined, and how many threads are at it. What describes the job is written
  // only while nobody can join and nobody is at it.
  static constexpr std::uint64_t kMember = 1, kOpen = 1u << 16, kJob = 1u << 17, kMembers = kOpen - 1;

  // Where the system gives no more threads, those that are there do the work.
  void grow(int wanted) {
    try {
      for (; started_ < wanted; ++started_) std::thread(&Pool::live, this, started_ + 1).detach();
    } catch (const std::system_error&) {
    }
  }

  void open() {
    const std::uint64_t job = state_.load(std::memory_order_relaxed) & ~(kJob - 1);
    state_.store((job + kJob) | kOpen, std::memory_order_seq_cst);
    if (asleep_.load(std::memory_order_seq_cst) == 0) return;
    { const std::lock_guard<std::mutex> lock(mutex_); }  // a thread that saw the old state has begun to wait by now
    wake_.notify_all();
  }

  void close() {
    state_.fetch_and(~kOpen, std::memory_order_acq_rel);
    const auto alone = [this] { return (state_.load(std::memory_order_acquire) & kMembers) == 0; };
    while (!poll(alone)) std::this_thread::yield();
  }

  void work(int worker) {
    for (;;) {
      const std::int64_t i = next_.fetch_add(1, std::memory_order_relaxed);
      if (i >= tasks_) return;
      task_(context_, i, worker);
    }
  }

  void live(int worker) {
    for (std::uint64_t seen = 0;;) {
      const auto there_is_more = [&] { return is_new(state_.load(std::memory_order_seq_cst), seen); };
      if (!poll(there_is_more)) sleep(there_is_more);
      std::uint64_t state = state_.load(std::memory_order_acquire);
      while (is_new(state, seen)) {
        if (!state_.compare_exchange_weak(state, state + kMember, std::memory_order_acq_rel)) continue;
        seen = state / kJob;
        if (worker < workers_) work(worker);
        state_.fetch_sub(kMember, std::memory_order_release);
        break;
      }
    }
  }

  template <class Done>
  void sleep(const Done& done) {
    std::unique_lock<std::mutex> lock(mutex_);
    asleep_.fetch_add(1, std::memory_order_seq_cst);
    wake_.wait(lock, done);
    asleep_.fetch_sub(1, std::memory_order_relaxed);
  }

  static bool is_new(std::uint64_t state, std::uint64_t seen) { return (state & kOpen) != 0 && state / kJob != seen; }

  alignas(64) std::atomic<std::uint64_t> state_{0};
  alignas(64) std::atomic<std::int64_t> next_{0};
  alignas(64) std::atomic<bool> taken_{false};
  int started_ = 0;
  std::int64_t tasks_ = 0;
  int workers_ = 0;
  const void* context_ = nullptr;
  Task task_ = nullptr;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<int> asleep_{0};
};

std::atomic<Pool*>& current() {
  // Never destroyed: its threads run until the process ends. After a fork the child has none of them, and begins anew.
  static std::atomic<Pool*> pool{[] {
#if defined(__unix__) || defined(__APPLE__)
    pthread_atfork(nullptr, nullptr, [] { current().store(new Pool, std::memory_order_relaxed); });
#endif
    return new Pool;
  }()};
  return pool;
}

}  // namespace

void run(std::int64_t tasks, int workers, const void* context, Task task) {
  if (workers > 1 && tasks > 1 && current().load(std::memory_order_relaxed)->try_run(tasks, workers, context, task)) return;
  for (std::int64_t i = 0; i < tasks; ++i) task(context, i, 0);
}

}  // namespace lmaps::pool
