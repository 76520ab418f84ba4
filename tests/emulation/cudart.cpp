// A stand-in for the CUDA runtime calls that kernels/cuda makes. Streams are synchronous. Device memory is one
// reserved range of addresses: filled with NaN when allocated, poisoned when freed, and unreachable (PROT_NONE) unless
// a kernel, a copy or a library call runs, so that host code that follows a device pointer faults as with a GPU.
#include <cuda_runtime.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>

#include "engine.h"
#include "fiber.h"

namespace emulation {
namespace {

constexpr size_t page = 4096, gap = 256, reserved_bytes = size_t(16) << 30;
constexpr size_t filled_bytes = size_t(4) << 20;  // what is filled of a large allocation: touching memory costs time

struct DeviceMemory {
  char* base = nullptr;
  size_t used = 0;
  int open = 0;
  std::map<char*, size_t> live;

  void protect(bool reachable) {
    if (used) mprotect(base, (used + page - 1) / page * page, reachable ? PROT_READ | PROT_WRITE : PROT_NONE);
  }
  // Ends of allocations fall on every residue of 16, so that AddressSanitizer sees the first byte beyond.
  void* allocate(size_t bytes) {
    if (!base) {
      void* range = mmap(nullptr, reserved_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (range == MAP_FAILED) return nullptr;
      base = static_cast<char*>(range);
    }
    size_t offset = (used + gap - 1) / gap * gap;
    if (bytes > reserved_bytes || offset + bytes + gap > reserved_bytes) return nullptr;
    used = offset + bytes + gap;
    char* memory = base + offset;
    live[memory] = bytes;
    DeviceMemoryOpen scope;
    unpoison(memory, bytes);
    std::memset(memory, 0xFF, std::min(bytes, filled_bytes));
    poison(memory + bytes, gap);
    return memory;
  }
  bool release(void* memory) {
    auto found = live.find(static_cast<char*>(memory));
    if (found == live.end()) return false;
    poison(memory, found->second);
    live.erase(found);
    // What lies above the last living allocation is free again.
    size_t kept = live.empty() ? 0 : size_t(live.rbegin()->first - base) + live.rbegin()->second + gap;
    size_t first_page = (kept + page - 1) / page * page, end = (used + page - 1) / page * page;
    if (first_page < end) {
      mprotect(base + first_page, end - first_page, PROT_NONE);
      madvise(base + first_page, end - first_page, MADV_DONTNEED);
    }
    used = kept;
    return true;
  }
};

DeviceMemory memory;
cudaError_t last_error = cudaSuccess;

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

bool host_side(cudaMemcpyKind kind, bool source) {
  return kind == (source ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost) || kind == cudaMemcpyHostToHost;
}

}  // namespace

DeviceMemoryOpen::DeviceMemoryOpen() {
  if (memory.open++ == 0) memory.protect(true);
}

DeviceMemoryOpen::~DeviceMemoryOpen() {
  if (--memory.open == 0) memory.protect(false);
}

bool is_device_range(const void* begin, size_t bytes) {
  char* first = static_cast<char*>(const_cast<void*>(begin));
  auto next = memory.live.upper_bound(first);
  if (next == memory.live.begin()) return false;
  --next;
  return first + bytes <= next->first + next->second;
}

}  // namespace emulation

using emulation::DeviceMemoryOpen;
using emulation::is_device_range;
using emulation::memory;
using emulation::result;

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return result(device == 0 ? cudaSuccess : cudaErrorInvalidDevice); }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::memset(properties, 0, sizeof *properties);
  std::strcpy(properties->name, "emulated GPU");
  properties->major = 9;
  properties->multiProcessorCount = 4;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  *total_bytes = emulation::reserved_bytes;
  *free_bytes = *total_bytes - memory.used;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return std::exchange(emulation::last_error, cudaSuccess); }
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess                 ? "no error"
         : error == cudaErrorMemoryAllocation ? "out of memory"
         : error == cudaErrorInvalidDevice    ? "invalid device ordinal"
                                              : "invalid argument";
}
cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  *pointer = memory.allocate(bytes);
  return result(*pointer ? cudaSuccess : cudaErrorMemoryAllocation);
}
cudaError_t cudaFree(void* pointer) {
  return result(!pointer || memory.release(pointer) ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  *pointer = std::malloc(bytes);
  return result(*pointer ? cudaSuccess : cudaErrorMemoryAllocation);
}
cudaError_t cudaFreeHost(void* pointer) {
  std::free(pointer);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
  if (bytes == 0) return cudaSuccess;
  if (is_device_range(to, bytes) == emulation::host_side(kind, false) ||
      is_device_range(from, bytes) == emulation::host_side(kind, true))
    return result(cudaErrorInvalidValue);
  DeviceMemoryOpen open;
  std::memmove(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  if (bytes == 0) return cudaSuccess;
  if (!is_device_range(to, bytes)) return result(cudaErrorInvalidValue);
  DeviceMemoryOpen open;
  std::memset(to, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = reinterpret_cast<cudaStream_t>(std::malloc(1));
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  std::free(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }

using Clock = std::chrono::steady_clock;
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = reinterpret_cast<cudaEvent_t>(new Clock::time_point());
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete reinterpret_cast<Clock::time_point*>(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  *reinterpret_cast<Clock::time_point*>(event) = Clock::now();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = std::chrono::duration<float, std::milli>(*reinterpret_cast<Clock::time_point*>(to) -
                                                           *reinterpret_cast<Clock::time_point*>(from))
                      .count();
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
}
