// The interface of tests to the stand-in for the CUDA runtime.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace emulation {

struct RuntimeCounts {
  int64_t waits = 0;        // calls at which the host may have had to wait for the device
  int64_t allocations = 0;  // of device and pinned memory, and releases
  int64_t replays = 0;      // of recorded work
};
// Since the start of the program.
RuntimeCounts counts();

// From now on the device answers with this, as after a kernel's failure; cudaSuccess mends it.
void break_device(cudaError_t error);
// Device memory there is in all.
void limit_memory(size_t bytes);
// Whether cuBLASLt answers that it has no algorithm for a product with an epilogue (bias, GELU).
void decline_epilogues(bool declined);

}  // namespace emulation
