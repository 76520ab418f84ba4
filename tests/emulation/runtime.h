// Tests use these functions to observe and control the stand-ins for the CUDA runtime and cuBLASLt.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace emulation {

struct RuntimeCounts {
  int64_t waits = 0;        // calls in which the host waits for work that it has not yet waited for
  int64_t allocations = 0;  // calls that allocate or release device or pinned memory
  int64_t replays = 0;      // replays of CUDA graphs
};
// Counts since the start of the program.
RuntimeCounts counts();

// Makes kernels, copies and most other calls return this error, as after a failed kernel. cudaSuccess makes the device
// work again.
void break_device(cudaError_t error);
// Sets the total size of device memory.
void limit_memory(size_t bytes);
// Advances the clock of events by 1,000 seconds. No real time passes, so measured times do not depend on the machine.
void let_time_pass();
// Lets time pass in all of cuBLASLt's algorithms, numbered 0 to 7, except `algorithm`; -1: in none. Each algorithm adds
// in a different order.
void make_fastest(int algorithm);
// Sets whether cuBLASLt refuses products with an epilogue (bias, bias gradient, GELU).
void decline_epilogues(bool declined);

}  // namespace emulation
