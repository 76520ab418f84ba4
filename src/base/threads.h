// The largest accepted number of threads, and the number that OMP_NUM_THREADS requests.
#pragma once

namespace rowan {

constexpr int most_threads = 4096;

// The first number in OMP_NUM_THREADS, or 0 if it is not set. The variable may list one number for each nesting level
// of parallel regions. Throws Error if a number is not from 1 to most_threads, because OpenMP would end the process.
int threads_from_environment();

}  // namespace rowan
