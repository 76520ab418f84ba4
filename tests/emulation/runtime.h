// Tests use these functions to observe and control the stand-ins for the CUDA runtime and cuBLASLt.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace emulation {

struct RuntimeCounts {
  int64_t waits = 0;        // calls in which the host waits for work that it has not yet waited for
  int64_t allocations = 0;  // calls that allocate or release device or pinned memory
  int64_t replays = 0;      // replays of CUDA graphs
  // Work that ran on the device. A replay counts all work of its graph.
  int64_t kernels = 0, products = 0, memsets = 0;
  int64_t uploads = 0, downloads = 0, copies = 0;  // copies to, from and within the device
};
// Counts since the start of the program.
RuntimeCounts counts();

// Makes kernels, copies and most other calls return this error, as after a failed kernel. cudaSuccess makes the device
// work again.
void break_device(cudaError_t error);
// Sets the total size of device memory.
void limit_memory(size_t bytes);
// While `only` holds, device work is counted, but does not run: memory keeps its content, and downloads give zeros.
// Device memory is not filled, so sizes of real models need no memory.
void only_count(bool only);
// Advances the clock of events by 1,000 seconds. No real time passes, so measured times do not depend on the machine.
void let_time_pass();
// Lets time pass in all of cuBLASLt's algorithms, numbered 0 to 7, except `algorithm`; -1: in none. Each algorithm adds
// in a different order.
void make_fastest(int algorithm);
// Sets what cuBLASLt's heuristic and its product return if there is an epilogue (bias, bias gradient, GELU).
void decline_epilogues(cublasStatus_t by_heuristic, cublasStatus_t by_product = CUBLAS_STATUS_SUCCESS);
// Lets time pass in products with an epilogue, or in products without one.
enum class Slow { none, with_epilogue, without };
void make_slow(Slow products);

}  // namespace emulation
