// The number of threads: the largest that is accepted, and the one that OMP_NUM_THREADS asks for.
#pragma once

namespace rowan {

constexpr int most_threads = 4096;

// The number in OMP_NUM_THREADS, or 0 if it is not set. A list has one number for each level of nesting; the first
// counts. Throws Error unless all are numbers from 1 to most_threads: OpenMP would end the process.
int threads_from_environment();

}  // namespace rowan
