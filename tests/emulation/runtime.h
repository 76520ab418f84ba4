// Functions with which tests observe and control the stand-ins for the CUDA runtime and cuBLASLt.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace emulation {

struct RuntimeCounts {
  int64_t waits = 0;        // calls at which the host waits for work that it does not know to be done
  int64_t allocations = 0;  // allocations and releases of device and pinned memory
  int64_t replays = 0;      // replays of recorded work
};
// Counts since the start of the program.
RuntimeCounts counts();

// Makes every later call return this error, as after a failed kernel; cudaSuccess repairs the device.
void break_device(cudaError_t error);
// Sets the total size of device memory.
void limit_memory(size_t bytes);
// The algorithm of cuBLASLt, 0 to 7, that is the fastest from now on; -1: none is slowed. Each adds in its own order.
void make_fastest(int algorithm);
// Sets whether cuBLASLt refuses products with an epilogue (bias, GELU).
void decline_epilogues(bool declined);

}  // namespace emulation
