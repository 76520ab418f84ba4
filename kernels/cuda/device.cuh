// Launches, shared memory and PTX instructions. In kernels/cuda, only this file has different code for nvcc and for
// tests/emulation.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#ifdef ROWAN_EMULATION
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#endif

namespace rowan::cuda {

constexpr int warp_size = 32;
constexpr unsigned all_lanes = 0xffffffffu;

// Bytes of dynamic shared memory that a kernel may use without an opt-in. CUDA's limit without an opt-in is 48 KB for
// static and dynamic shared memory together. 4 KB are left for static arrays.
constexpr size_t shared_without_asking = 44 * 1024;

// Sets the attribute at every launch, which costs about a microsecond of the host. The host is ahead of the GPU, and
// remembering the kernels that have it would need state shared by all backends.
template <typename... Parameters>
cudaError_t allow_shared(void (*kernel)(Parameters...), size_t bytes) {
  if (bytes <= shared_without_asking) return cudaSuccess;
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                              int(bytes));
}

// `launch(name, kernel, grid, block, shared_bytes, stream, arguments...)` launches a kernel and returns CUDA's error
// code. `name` is the name of the operation, for messages of the emulation. Arguments are converted to the kernel's
// parameter types.
#ifndef ROWAN_EMULATION

// Shared memory of a block: a static array, or the dynamic bytes requested at launch.
#define SHARED_ARRAY(T, name, count) __shared__ T name[count]
#define DYN_SHARED(T, name)                                \
  extern __shared__ __align__(16) unsigned char name##_[]; \
  T* name = reinterpret_cast<T*>(name##_)

template <typename... Parameters>
cudaError_t launch(const char*, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream, const std::common_type_t<Parameters>&... arguments) {
  if (cudaError_t error = allow_shared(kernel, shared_bytes)) return error;
  kernel<<<grid, block, shared_bytes, stream>>>(arguments...);
  return cudaGetLastError();
}

// d += a b, where a is 16x16, b is 16x8 and d is 16x8. Fragment layouts: PTX ISA, "Matrix Fragments for mma.m16n8k16".
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// An approximation of 2^x. Denormal results are flushed to 0.
__device__ __forceinline__ float exp2_approx(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(result) : "f"(x));
  return result;
}

// Loads four 8x8 matrices of 16-bit values. Lane l passes the address of row l % 8 of matrix l / 8. A row is 16 bytes
// long and aligned to 16 bytes.
template <bool transposed>
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

// Starts an asynchronous copy of 16 bytes from global to shared memory. If `valid` is false, it writes zeros and reads
// nothing.
__device__ __forceinline__ void copy_async_16(void* to, const void* from, bool valid) {
  asm volatile(
      "cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(to))),
      "l"(from), "r"(valid ? 16 : 0)
      : "memory");
}
// Like copy_async_16, for 4 bytes.
__device__ __forceinline__ void copy_async_4(void* to, const void* from, bool valid) {
  asm volatile(
      "cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(to))),
      "l"(from), "r"(valid ? 4 : 0)
      : "memory");
}
__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
// Waits until at most `groups_left` committed groups of this thread are still in flight.
template <int groups_left>
__device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(groups_left) : "memory");
}

#else

#define SHARED_ARRAY(T, name, count) \
  static char name##_key;            \
  T(&name)[count] = *static_cast<T(*)[count]>(::emulation::static_shared(&name##_key, sizeof(T) * (count)))
#define DYN_SHARED(T, name) T* name = static_cast<T*>(::emulation::dynamic_shared())

template <typename... Parameters>
cudaError_t launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t, const std::common_type_t<Parameters>&... arguments) {
  if (cudaError_t error = allow_shared(kernel, shared_bytes)) return error;
  const size_t limit = ::emulation::shared_limit(reinterpret_cast<const void*>(kernel));
  return ::emulation::queue(
      [=] { ::emulation::run(name, grid, block, shared_bytes, limit, [&] { kernel(arguments...); }); });
}

inline float exp2_approx(float x) {
  float result = std::exp2(x);
  return result < std::numeric_limits<float>::min() ? 0.0f : result;
}

EMULATION_UNSEEN inline float half_of(uint32_t pair, int upper) {
  uint32_t bits = upper ? pair & 0xffff0000u : pair << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  struct Fragments {
    float* d;
    const uint32_t *a, *b;
  } mine{d, a, b};
  ::emulation::warp_collective("mma.m16n8k16", all_lanes, &mine, [](void** records, unsigned) EMULATION_UNSEEN {
    float left[16][16], right[16][8];
    for (int lane = 0; lane < warp_size; ++lane) {
      const Fragments& f = *static_cast<Fragments*>(records[lane]);
      int group = lane / 4, pair = lane % 4 * 2;
      for (int i = 0; i < 8; ++i)
        left[group + (i / 2 % 2) * 8][pair + i % 2 + (i / 4) * 8] = half_of(f.a[i / 2], i % 2);
      for (int i = 0; i < 4; ++i) right[pair + i % 2 + (i / 2) * 8][group] = half_of(f.b[i / 2], i % 2);
    }
    for (int lane = 0; lane < warp_size; ++lane) {
      const Fragments& f = *static_cast<Fragments*>(records[lane]);
      for (int i = 0; i < 4; ++i) {
        int row = lane / 4 + (i / 2) * 8, column = lane % 4 * 2 + i % 2;
        for (int k = 0; k < 16; ++k) f.d[i] += left[row][k] * right[k][column];
      }
    }
  });
}

template <bool transposed>
inline void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  if (reinterpret_cast<uintptr_t>(row) % 16) ::emulation::report("ldmatrix: misaligned row address");
  struct Rows {
    uint32_t* result;
    uint16_t values[8];
  } mine{r, {}};
  for (int i = 0; i < 8; ++i) mine.values[i] = static_cast<const uint16_t*>(row)[i];  // each lane reads its own row
  ::emulation::warp_collective("ldmatrix.x4", all_lanes, &mine, [](void** records, unsigned) EMULATION_UNSEEN {
    for (int lane = 0; lane < warp_size; ++lane)
      for (int matrix = 0; matrix < 4; ++matrix) {
        uint32_t pair = 0;
        for (int upper = 0; upper < 2; ++upper) {
          int line = lane / 4, column = lane % 4 * 2 + upper;
          if (transposed) std::swap(line, column);
          pair |= uint32_t(static_cast<Rows*>(records[matrix * 8 + line])->values[column]) << (16 * upper);
        }
        static_cast<Rows*>(records[lane])->result[matrix] = pair;
      }
  });
}

inline void copy_async_16(void* to, const void* from, bool valid) { ::emulation::copy_async(to, from, 16, valid); }
inline void copy_async_4(void* to, const void* from, bool valid) { ::emulation::copy_async(to, from, 4, valid); }
inline void copy_async_commit() { ::emulation::copy_commit(); }
template <int groups_left>
inline void copy_async_wait() {
  ::emulation::copy_wait(groups_left);
}

#endif

}  // namespace rowan::cuda
