// Implements a stand-in for the CUDA runtime. Kernels run immediately, except while a stream is recorded. A copy to
// pinned memory arrives only when the host waits for it. After a copy from pinned memory, the host must wait before it
// changes this memory. Device memory is one reserved range of addresses. An allocation is filled with NaN up to
// `filled_bytes`, and poisoned for AddressSanitizer when it is freed. Device memory is inaccessible (PROT_NONE) unless
// a kernel, a copy or a library call runs, so host code that dereferences a device pointer faults. Memory that is
// allocated during only_count() is another range, which stays inaccessible.
#include <cuda_runtime.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "engine.h"
#include "fiber.h"
#include "runtime.h"

namespace emulation {
namespace {

// The size of a huge page. mprotect() changes one entry per page, and every kernel and copy needs two calls of it.
constexpr size_t page = size_t(2) << 20;
constexpr size_t gap = 256, reserved_bytes = size_t(16) << 30, counted_bytes = size_t(64) << 30;
constexpr size_t filled_bytes = size_t(4) << 20;  // at most this much of an allocation is filled, to save time

struct DeviceMemory {
  const size_t reserved;
  size_t limit, used = 0;
  char* base = nullptr;
  int open = 0;
  std::map<char*, size_t> live;

  explicit DeviceMemory(size_t bytes) : reserved(bytes), limit(bytes) {}
  void protect(bool reachable) {
    if (used) mprotect(base, (used + page - 1) / page * page, reachable ? PROT_READ | PROT_WRITE : PROT_NONE);
  }
  // Sizes are not rounded up, so that AddressSanitizer detects an access to the first byte beyond an allocation.
  void* allocate(size_t bytes) {
    if (!base) {
      void* range = mmap(nullptr, reserved + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (range == MAP_FAILED) return nullptr;
      base = static_cast<char*>(range) + (page - reinterpret_cast<uintptr_t>(range) % page) % page;
      madvise(base, reserved, MADV_HUGEPAGE);
    }
    size_t offset = (used + gap - 1) / gap * gap;
    if (bytes > limit || offset + bytes + gap > limit) return nullptr;
    used = offset + bytes + gap;
    char* memory = base + offset;
    live[memory] = bytes;
    unpoison(memory, bytes);
    poison(memory + bytes, gap);
    return memory;
  }
  bool holds(const void* begin, size_t bytes) const {
    const char* first = static_cast<const char*>(begin);
    auto next = live.upper_bound(const_cast<char*>(first));
    if (next == live.begin()) return false;
    --next;
    return first + bytes <= next->first + next->second;
  }
  bool release(void* memory) {
    auto found = live.find(static_cast<char*>(memory));
    if (found == live.end()) return false;
    poison(memory, found->second);
    live.erase(found);
    // Returns memory above the last live allocation to the system.
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

DeviceMemory memory(reserved_bytes), counted_memory(counted_bytes);
bool only_counts = false;
cudaError_t last_error = cudaSuccess, broken = cudaSuccess;
RuntimeCounts counted;

cudaError_t result(cudaError_t error) {
  if (error == cudaSuccess) error = broken;
  if (error != cudaSuccess) last_error = error;
  return error;
}

bool host_side(cudaMemcpyKind kind, bool source) {
  return kind == (source ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost) || kind == cudaMemcpyHostToHost;
}

std::map<const char*, size_t> pinned;

bool is_pinned(const void* begin) {
  auto next = pinned.upper_bound(static_cast<const char*>(begin));
  if (next == pinned.begin()) return false;
  --next;
  return begin < next->first + next->second;
}

// A copy from or to pinned memory. The host has not yet waited for this copy.
struct Transfer {
  uint64_t number;
  char* host;
  std::vector<char> bytes;
  bool arrives;  // true: a copy to the host; false: to the device
};
std::vector<Transfer> transfers;
uint64_t queued = 0;  // number of operations queued so far
uint64_t done = 0;    // number of operations that the host has waited for
std::chrono::seconds passed{};

void wait_for(uint64_t number) {
  if (number > done) ++counted.waits;
  done = std::max(done, number);
  size_t kept = 0;
  for (Transfer& t : transfers) {
    if (t.number > done)
      transfers[kept++] = std::move(t);
    else if (t.arrives)
      std::memcpy(t.host, t.bytes.data(), t.bytes.size());
    else if (std::memcmp(t.host, t.bytes.data(), t.bytes.size()) != 0)
      throw DeviceError("pinned memory was written to while a copy read it");
  }
  transfers.resize(kept);
}

void copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const bool left_out = count_work(kind == cudaMemcpyHostToDevice   ? Work::upload
                                   : kind == cudaMemcpyDeviceToHost ? Work::download
                                                                    : Work::copy);
  if (left_out) {
    if (kind == cudaMemcpyDeviceToHost) std::memset(to, 0, bytes);
    return;
  }
  DeviceMemoryOpen open;
  const bool download = kind == cudaMemcpyDeviceToHost;
  if (kind != cudaMemcpyDeviceToDevice && is_pinned(download ? to : from)) {
    char* host = static_cast<char*>(download ? to : const_cast<void*>(from));
    const char* source = static_cast<const char*>(from);
    transfers.push_back({queued, host, {source, source + bytes}, download});
    if (download) {
      std::memset(to, 0xFF, bytes);
      return;
    }
  } else if (kind != cudaMemcpyDeviceToDevice) {
    wait_for(queued);  // with pageable memory, the call may wait for the copy
  }
  std::memmove(to, from, bytes);
}

constexpr size_t shared_bytes_of_block = 227 * 1024;
std::set<const void*> wide_kernels;  // kernels that may use all shared memory

using Recording = std::vector<std::function<void()>>;
Recording* recording = nullptr;
bool spoilt = false;  // whether a call that is not allowed during a recording has ended the recording

// CUDA calls that are not allowed during a recording call this function, which then ends the recording.
cudaError_t outside_recordings() {
  if (!recording) return cudaSuccess;
  spoilt = true;
  return result(cudaErrorStreamCaptureUnsupported);
}

}  // namespace

cudaError_t queue(std::function<void()> work) {
  if (cudaError_t error = result(cudaSuccess)) return error;
  if (recording) {
    recording->push_back(std::move(work));
  } else {
    ++queued;
    work();
  }
  return cudaSuccess;
}

size_t shared_limit(const void* kernel) { return wide_kernels.count(kernel) ? shared_bytes_of_block : 48 * 1024; }

RuntimeCounts counts() { return counted; }
void only_count(bool only) { only_counts = only; }
bool count_work(Work work) {
  int64_t* const number[] = {&counted.kernels, &counted.products,  &counted.memsets,
                             &counted.uploads, &counted.downloads, &counted.copies};
  ++*number[int(work)];
  return only_counts;
}
void break_device(cudaError_t error) { broken = error; }
void limit_memory(size_t bytes) { memory.limit = bytes; }
void let_time_pass() { passed += std::chrono::seconds(1000); }

DeviceMemoryOpen::DeviceMemoryOpen() {
  if (memory.open++ == 0) memory.protect(true);
}

DeviceMemoryOpen::~DeviceMemoryOpen() {
  if (--memory.open == 0) memory.protect(false);
}

bool is_device_range(const void* begin, size_t bytes) {
  return memory.holds(begin, bytes) || counted_memory.holds(begin, bytes);
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
  properties->sharedMemPerBlockOptin = emulation::shared_bytes_of_block;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  *total_bytes = memory.limit;
  *free_bytes = *total_bytes - memory.used;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return std::exchange(emulation::last_error, cudaSuccess); }
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess                         ? "no error"
         : error == cudaErrorMemoryAllocation         ? "out of memory"
         : error == cudaErrorInvalidDevice            ? "invalid device ordinal"
         : error == cudaErrorIllegalAddress           ? "an illegal memory access was encountered"
         : error == cudaErrorStreamCaptureUnsupported ? "operation not permitted when stream is capturing"
                                                      : "invalid argument";
}
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int bytes) {
  if (size_t(bytes) > emulation::shared_bytes_of_block) return result(cudaErrorInvalidValue);
  emulation::wide_kernels.insert(kernel);
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  if (cudaError_t error = emulation::outside_recordings()) return error;
  ++emulation::counted.allocations;
  *pointer = (emulation::only_counts ? emulation::counted_memory : memory).allocate(bytes);
  if (*pointer && !emulation::only_counts) {
    DeviceMemoryOpen open;
    std::memset(*pointer, 0xFF, std::min(bytes, emulation::filled_bytes));
  }
  return result(*pointer ? cudaSuccess : cudaErrorMemoryAllocation);
}
cudaError_t cudaFree(void* pointer) {
  if (cudaError_t error = emulation::outside_recordings()) return error;
  ++emulation::counted.allocations;
  return result(!pointer || memory.release(pointer) || emulation::counted_memory.release(pointer)
                    ? cudaSuccess
                    : cudaErrorInvalidValue);
}
cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  if (cudaError_t error = emulation::outside_recordings()) return error;
  ++emulation::counted.allocations;
  *pointer = std::malloc(bytes);
  emulation::pinned[static_cast<char*>(*pointer)] = bytes;
  return result(*pointer ? cudaSuccess : cudaErrorMemoryAllocation);
}
cudaError_t cudaFreeHost(void* pointer) {
  if (cudaError_t error = emulation::outside_recordings()) return error;
  ++emulation::counted.allocations;
  emulation::pinned.erase(static_cast<char*>(pointer));
  std::free(pointer);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
  if (bytes == 0) return cudaSuccess;
  if (is_device_range(to, bytes) == emulation::host_side(kind, false) ||
      is_device_range(from, bytes) == emulation::host_side(kind, true))
    return result(cudaErrorInvalidValue);
  // CUDA can record a copy between host and device, but each replay copies what is then in host memory. The stand-in
  // refuses to record such a copy.
  if (kind != cudaMemcpyDeviceToDevice)
    if (cudaError_t error = emulation::outside_recordings()) return error;
  return emulation::queue([=] { emulation::copy(to, from, bytes, kind); });
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  if (bytes == 0) return cudaSuccess;
  if (!is_device_range(to, bytes)) return result(cudaErrorInvalidValue);
  return emulation::queue([=] {
    if (emulation::count_work(emulation::Work::memset)) return;
    DeviceMemoryOpen open;
    std::memset(to, value, bytes);
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = reinterpret_cast<cudaStream_t>(std::malloc(1));
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  return priority <= 0 && priority >= -5 ? cudaStreamCreateWithFlags(stream, flags) : result(cudaErrorInvalidValue);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  std::free(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  if (cudaError_t error = emulation::outside_recordings()) return error;
  emulation::wait_for(emulation::queued);
  return result(cudaSuccess);
}
cudaError_t cudaDeviceSynchronize() { return cudaStreamSynchronize(nullptr); }
cudaError_t cudaStreamQuery(cudaStream_t) {
  if (cudaError_t error = emulation::outside_recordings()) return error;
  return result(cudaSuccess);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  if (emulation::recording) return result(cudaErrorIllegalState);
  emulation::recording = new emulation::Recording();
  emulation::spoilt = false;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  emulation::Recording* recorded = std::exchange(emulation::recording, nullptr);
  if (emulation::spoilt) delete std::exchange(recorded, nullptr);
  *graph = reinterpret_cast<cudaGraph_t>(recorded);
  return result(recorded ? cudaSuccess : emulation::spoilt ? cudaErrorStreamCaptureInvalidated : cudaErrorIllegalState);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable =
      reinterpret_cast<cudaGraphExec_t>(new emulation::Recording(*reinterpret_cast<emulation::Recording*>(graph)));
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete reinterpret_cast<emulation::Recording*>(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete reinterpret_cast<emulation::Recording*>(executable);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
  ++emulation::counted.replays;
  for (const auto& work : *reinterpret_cast<emulation::Recording*>(executable))
    if (cudaError_t error = emulation::queue(work)) return error;
  return cudaSuccess;
}

using Clock = std::chrono::steady_clock;
struct Event {
  Clock::time_point time;
  uint64_t number = 0;
};
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = reinterpret_cast<cudaEvent_t>(new Event());
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete reinterpret_cast<Event*>(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  *reinterpret_cast<Event*>(event) = {Clock::now() + emulation::passed, emulation::queued};
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (cudaError_t error = emulation::outside_recordings()) return error;
  emulation::wait_for(reinterpret_cast<Event*>(event)->number);
  return result(cudaSuccess);
}
cudaError_t cudaEventQuery(cudaEvent_t) { return emulation::outside_recordings(); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = std::chrono::duration<float, std::milli>(reinterpret_cast<Event*>(to)->time -
                                                           reinterpret_cast<Event*>(from)->time)
                      .count();
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
}
