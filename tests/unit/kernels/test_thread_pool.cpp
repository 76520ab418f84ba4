#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <utility>
#include <vector>

#include "kernels/thread_pool.h"

namespace rowan {
namespace {

TEST(ThreadPool, CallsEveryIndexOnce) {
  for (int threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (int64_t count : {0, 1, 2, 5, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<size_t>(count));
      std::atomic<bool> strange{false};
      pool.run(count, [&](int64_t i, int thread) {
        ++calls[static_cast<size_t>(i)];
        if (thread < 0 || thread >= threads) strange = true;
      });
      for (const auto& called : calls) EXPECT_EQ(called, 1) << threads << " threads, " << count << " calls";
      EXPECT_FALSE(strange);
    }
  }
}

TEST(ThreadPool, ManyShortLoopsSeeOneAnothersResults) {
  ThreadPool pool(3);
  std::vector<int64_t> values(64, 0), next(64);
  for (int loop = 0; loop < 20000; ++loop) {
    pool.run(64, [&](int64_t i, int) { next[static_cast<size_t>(i)] = values[static_cast<size_t>(63 - i)] + i; });
    std::swap(values, next);
  }
  // Two loops together add i and 63 - i to each value.
  for (int64_t value : values) EXPECT_EQ(value, 10000 * 63);
}

TEST(ThreadPool, ThreadsThatSleptComeBack) {
  ThreadPool pool(2);
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::atomic<int64_t> sum{0};
    pool.run(100, [&](int64_t k, int) { sum += k; });
    EXPECT_EQ(sum, 4950);
  }
}

// A late thread does not delay the others, because they do its share of the work.
TEST(ThreadPool, ALateThreadsShareIsTaken) {
  ThreadPool pool(2);
  std::atomic<int> held{0}, others{0};
  pool.run(101, [&](int64_t i, int) {
    if (i == 0)
      while (others < 100) std::this_thread::yield();
    else
      ++others;
    if (i == 0) ++held;
  });
  EXPECT_EQ(held, 1);
  EXPECT_EQ(others, 100);
}

TEST(ThreadPool, AnExceptionReachesTheCaller) {
  for (int threads : {1, 4}) {
    ThreadPool pool(threads);
    for (int64_t bad : {0, 50, 99})
      EXPECT_THROW(pool.run(100,
                            [&](int64_t i, int) {
                              if (i == bad) throw std::runtime_error("bad");
                            }),
                   std::runtime_error);
    std::atomic<int> calls{0};
    pool.run(10, [&](int64_t, int) { ++calls; });
    EXPECT_EQ(calls, 10);
  }
}

}  // namespace
}  // namespace rowan
