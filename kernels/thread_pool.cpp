#include "kernels/thread_pool.h"

#include <chrono>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace rowan {
namespace {

constexpr uint32_t closed = 1u << 31;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Waits until `value` differs from `old`: first spins, then yields, then sleeps. The next loop often begins within
// microseconds, whereas waking a sleeping thread takes tens of microseconds.
void wait_while(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int i = 0; i < 64; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  const auto patience = std::chrono::steady_clock::now() + std::chrono::microseconds(200);
  while (std::chrono::steady_clock::now() < patience) {
    if (value.load(std::memory_order_acquire) != old) return;
    std::this_thread::yield();
  }
  value.wait(old, std::memory_order_acquire);
}

void end(std::vector<std::thread>& workers, std::atomic<bool>& stop, std::atomic<uint32_t>& loops) {
  stop = true;
  ++loops;
  loops.notify_all();
  for (std::thread& worker : workers) worker.join();
}

}  // namespace

ThreadPool::ThreadPool(int threads) : shares_(new Share[static_cast<size_t>(threads)]), inside_(closed) {
  try {
    for (int thread = 1; thread < threads; ++thread) workers_.emplace_back([this, thread] { serve(thread); });
  } catch (const std::system_error& error) {
    const int started = size();
    end(workers_, stop_, loops_);
    fail("cannot start {} threads: {} ({} were started); use fewer threads, or lower OMP_NUM_THREADS", threads,
         error.code().message(), started);
  }
}

ThreadPool::~ThreadPool() { end(workers_, stop_, loops_); }

void ThreadPool::start(int64_t count, Work work) {
  const int threads = size();
  for (int t = 0; t < threads; ++t) {
    shares_[t].next.store(count * t / threads, std::memory_order_relaxed);
    shares_[t].end = count * (t + 1) / threads;
  }
  work_ = work;
  inside_.fetch_and(~closed, std::memory_order_release);
  loops_.fetch_add(1, std::memory_order_release);
  loops_.notify_all();
  take_part(0);
  uint32_t inside = inside_.fetch_or(closed, std::memory_order_acq_rel) | closed;
  while (inside != closed) {
    wait_while(inside_, inside);
    inside = inside_.load(std::memory_order_acquire);
  }
  if (failed_) {
    failed_ = false;
    std::rethrow_exception(std::exchange(failure_, nullptr));
  }
}

void ThreadPool::take_part(int thread) {
  try {
    for (int t = 0, threads = size(); t < threads; ++t) {
      Share& share = shares_[(thread + t) % threads];
      for (int64_t i; (i = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;)
        work_.call(work_.fn, i, thread);
    }
  } catch (...) {
    if (!failed_.exchange(true)) failure_ = std::current_exception();
  }
}

void ThreadPool::serve(int thread) {
  for (uint32_t seen = 0;;) {
    wait_while(loops_, seen);
    seen = loops_.load(std::memory_order_acquire);
    if (stop_) return;
    if (!(inside_.fetch_add(1, std::memory_order_acq_rel) & closed)) take_part(thread);
    inside_.fetch_sub(1, std::memory_order_acq_rel);
    inside_.notify_one();
  }
}

}  // namespace rowan
