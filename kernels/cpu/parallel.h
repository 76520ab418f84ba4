// OpenMP loops. Work is cut independently of the number of threads, so that results are too.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace rowan::cpu {

// fn(i) for every i in [0, count); neighbours go to one thread.
template <typename F>
void parallel_for(int threads, int64_t count, F&& fn) {
  if (threads == 1 || count <= 1) {
    for (int64_t i = 0; i < count; ++i) fn(i);
    return;
  }
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < count; ++i) fn(i);
}

// fn(begin, end) over [0, count) cut into pieces of `grain`.
template <typename F>
void parallel_ranges(int threads, int64_t count, int64_t grain, F&& fn) {
  parallel_for(threads, (count + grain - 1) / grain,
               [&](int64_t i) { fn(i * grain, std::min(count, (i + 1) * grain)); });
}

// fn(i, thread) for every i in [0, count), each taken by the next thread that is free.
template <typename F>
void parallel_units(int threads, int64_t count, F&& fn) {
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t i = 0; i < count; ++i) fn(i, omp_get_thread_num());
}

// Rows of `width` elements that make a piece of work worth a thread's while.
inline int64_t rows_per_piece(int64_t width) { return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, width)); }

}  // namespace rowan::cpu
