// How many threads a user may ask for, and has asked for in the environment.
#pragma once

namespace rowan {

constexpr int most_threads = 4096;

// What OMP_NUM_THREADS says: of a list, one number a level of nesting, the first; 0 where it is not set. Throws Error
// for anything but numbers from 1 to most_threads, with which OpenMP would end the process.
int threads_from_environment();

}  // namespace rowan
