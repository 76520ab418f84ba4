// Runs CUDA kernels on the CPU. Every thread of a block is a fiber, and blocks run one after another. An error that the
// engine detects in a kernel becomes an exception. Kernels call this engine through language.h and
// kernels/cuda/device.cuh.
//
// The engine checks more than a GPU does. Shared memory starts as NaN. Every thread of a block must reach each barrier
// at the same line of code. Every lane of a mask must reach the warp operation. Copies by cp.async complete only at
// their wait. Host code cannot access device memory without a DeviceMemoryOpen.
// For ThreadSanitizer every CUDA thread of a block is a separate thread. Only barriers, __syncwarp and launches order
// the memory accesses of different threads, so ThreadSanitizer detects data races.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

namespace emulation {

// An error in a launch, a kernel or the use of pinned memory.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The order in which the threads of a block and the blocks of a grid run. With `random`, only the threads are
// shuffled. The environment variable EMULATION_SCHEDULE selects the order. The default is forward.
enum class Schedule { forward, reverse, random };
void set_schedule(Schedule schedule, uint64_t seed = 1);

// Queues work on a stream, where it runs immediately. While the stream is recorded, the work is stored instead, and
// runs in every replay (cudart.cpp).
cudaError_t queue(std::function<void()> work);

// Counts work that runs now (RuntimeCounts in runtime.h). Returns whether only_count() says to leave the work out.
enum class Work { kernel, product, memset, upload, download, copy };
bool count_work(Work work);

// Holds what a kernel can read about its own thread.
struct Thread {
  uint3 thread, block;
  dim3 block_dim, grid_dim;
  unsigned lane, warp;
};
extern Thread* self;

// Ends the kernel with a DeviceError that names the calling thread.
[[noreturn]] void report(const std::string& what);

// Runs `body` once for every thread of the grid. The static and dynamic shared memory of a block together are at most
// `shared_limit` bytes.
void run(const char* kernel, dim3 grid, dim3 block, size_t dynamic_shared_bytes, size_t shared_limit,
         const std::function<void()>& body);
// Bytes of shared memory that a kernel may use per block: 48 KB, or 227 KB after cudaFuncSetAttribute, as on Hopper.
size_t shared_limit(const void* kernel);

void barrier(const char* file, int line);
void sync_warp(unsigned mask);

// Every lane of the mask passes a record. The last lane to arrive runs `function` over the 32 records (null for lanes
// outside the mask). Then all lanes of the mask continue. This does not order memory accesses.
void warp_collective(const char* name, unsigned mask, void* record,
                     const std::function<void(void** records, unsigned mask)>& function);

// Shared memory of the running block, filled with NaN. `key` identifies a static array.
void* dynamic_shared();
void* static_shared(const void* key, size_t bytes);

// cp.async. The destination is NaN until copy_wait() has waited for the copy's group.
void copy_async(void* to, const void* from, size_t bytes, bool valid);
void copy_commit();
void copy_wait(int groups_left);

// While an object of this class exists, host code may access device memory (cudart.cpp).
class DeviceMemoryOpen {
 public:
  DeviceMemoryOpen();
  ~DeviceMemoryOpen();
};

// Whether [begin, begin + bytes) lies within one device allocation that has not been freed.
bool is_device_range(const void* begin, size_t bytes);

}  // namespace emulation
