// The largest accepted number of threads, the number that OMP_NUM_THREADS requests, and the default.
#pragma once

namespace rowan {

constexpr int most_threads = 4096;

// The first number in OMP_NUM_THREADS, or 0 if this variable is unset or empty. The variable may list one number for
// each nesting level of parallel regions. Throws Error if a number is not from 1 to most_threads.
int threads_from_environment();

// threads_from_environment() if it is not 0, else one thread for each logical CPU that this process may run on. If the
// system does not report those CPUs, one thread for each CPU of the machine.
int default_threads();

}  // namespace rowan
