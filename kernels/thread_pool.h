// A thread pool for parallel loops with work stealing. In contrast to OpenMP, a loop does not wait for a thread that
// starts late, because the other threads steal the iterations of the late thread. Idle threads spin briefly, then
// yield, then sleep, so they leave their cores to other processes.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace rowan {

class ThreadPool {
 public:
  // The caller of run() is one of the `threads`; the constructor starts the others.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls fn(i, thread) for every i in [0, count), with 0 <= thread < size(). Each thread first works through its own
  // share, a range of consecutive i, then steals from the shares of other threads. Returns when every call has
  // returned. If a call throws, other calls may be left out, and run() rethrows the first exception. fn must not call
  // run().
  template <typename F>
  void run(int64_t count, F&& fn) {
    if (workers_.empty() || count <= 1) {
      for (int64_t i = 0; i < count; ++i) fn(i, 0);
      return;
    }
    auto call = [](const void* work, int64_t i, int thread) {
      (*static_cast<const std::remove_reference_t<F>*>(work))(i, thread);
    };
    start(count, {&fn, call});
  }

 private:
  struct Work {
    const void* fn;
    void (*call)(const void* fn, int64_t i, int thread);
  };
  struct alignas(64) Share {
    std::atomic<int64_t> next;
    int64_t end;
  };

  void start(int64_t count, Work work);
  void take_part(int thread);
  void serve(int thread);

  Work work_{};
  std::unique_ptr<Share[]> shares_;
  std::exception_ptr failure_;
  std::atomic<bool> failed_{false}, stop_{false};
  std::atomic<uint32_t> loops_{0};  // changes when a loop starts or the pool ends; idle threads wait for this
  // The number of workers that execute the loop or check whether they may enter it. While the top bit is set, no worker
  // may enter.
  std::atomic<uint32_t> inside_;
  std::vector<std::thread> workers_;
};

}  // namespace rowan
