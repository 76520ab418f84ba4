// Loops over a thread pool. fn receives the same indices or ranges for any number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/thread_pool.h"

namespace rowan::cpu {

template <typename F>
void parallel_for(ThreadPool& threads, int64_t count, F&& fn) {
  threads.run(count, [&](int64_t i, int) { fn(i); });
}

// Calls fn(begin, end) for pieces of [0, count) of length `grain`. The last piece may be shorter.
template <typename F>
void parallel_ranges(ThreadPool& threads, int64_t count, int64_t grain, F&& fn) {
  threads.run((count + grain - 1) / grain, [&](int64_t i, int) { fn(i * grain, std::min(count, (i + 1) * grain)); });
}

// How many rows of `width` elements make a piece of work that is large enough for a thread.
inline int64_t rows_per_piece(int64_t width) { return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, width)); }

}  // namespace rowan::cpu
