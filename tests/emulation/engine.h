// Runs CUDA kernels on the CPU. Every thread of a block is a fiber, and blocks run one after another. What is undefined
// on a GPU becomes an exception. Kernels reach this engine through language.h and kernels/cuda/device.cuh.
//
// It checks more than a GPU does. Shared memory starts as NaN. Every thread of a block must meet each barrier at the
// same line of code. Every lane named in a mask must meet the warp operation. Copies by cp.async arrive only at their
// wait. Device memory is unreachable while host code runs (cudart.cpp).
// ThreadSanitizer sees every CUDA thread as a thread, ordered with others only by barriers, __syncwarp and launches, so
// it finds races.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

namespace emulation {

// A kernel did something that is not allowed. The message names the kernel, the block and the thread.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The order in which the threads of a block, and the blocks of a grid, run. The environment variable EMULATION_SCHEDULE
// chooses: forward (the default), reverse, or random.
enum class Schedule { forward, reverse, random };
void set_schedule(Schedule schedule, uint64_t seed = 1);

// Gives work to a stream. It runs at once, or, while the stream is being recorded, is kept for every replay
// (cudart.cpp).
cudaError_t queue(std::function<void()> work);

// The properties of its own thread that a kernel can read.
struct Thread {
  uint3 thread, block;
  dim3 block_dim, grid_dim;
  unsigned lane, warp;
};
extern Thread* self;

// Ends the kernel with a DeviceError about the calling thread.
[[noreturn]] void report(const std::string& what);

// Runs `body` once for every thread of the grid. All shared memory of a block is at most `shared_limit` bytes.
void run(const char* kernel, dim3 grid, dim3 block, size_t dynamic_shared_bytes, size_t shared_limit,
         const std::function<void()>& body);
// Shared memory that a kernel may use: 48 KB, or that of a block on Hopper after cudaFuncSetAttribute (cudart.cpp).
size_t shared_limit(const void* kernel);

void barrier(const char* file, int line);
void sync_warp(unsigned mask);

// Every lane of the mask passes a record. The last lane to arrive runs `function` over the 32 records (null for lanes
// outside the mask); then all continue. Orders no memory accesses.
void warp_collective(const char* name, unsigned mask, void* record,
                     const std::function<void(void** records, unsigned mask)>& function);

// Shared memory of the running block, filled with NaN. `key` distinguishes arrays.
void* dynamic_shared();
void* static_shared(const void* key, size_t bytes);

// cp.async: the destination is NaN until the wait that covers its group.
void copy_async(void* to, const void* from, size_t bytes, bool valid);
void copy_commit();
void copy_wait(int groups_left);

// While an object of this class lives, host code may touch device memory (cudart.cpp).
class DeviceMemoryOpen {
 public:
  DeviceMemoryOpen();
  ~DeviceMemoryOpen();
};

// True when [begin, begin + bytes) lies within one live device allocation.
bool is_device_range(const void* begin, size_t bytes);

}  // namespace emulation
