// Shared by the kernels: loads and stores of vectors with conversion from and to fp32, loops over elements and rows,
// sums and maxima over warps and blocks, and dispatch from dtypes to template arguments.
#pragma once

#include <initializer_list>
#include <type_traits>

#include "base/tensor.h"
#include "kernels/cuda/device.cuh"

namespace rowan::cuda {

using bfloat16 = __nv_bfloat16;

// Number of elements of a vector: 16 bytes of bf16, or 32 bytes of fp32.
constexpr int vector_elements = 8;

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bfloat16 x) { return __bfloat162float(x); }
template <typename T>
__device__ __forceinline__ T from_float(float x) {
  if constexpr (std::is_same_v<T, float>)
    return x;
  else
    return __float2bfloat16_rn(x);
}
// The value of x after a store and load as T.
template <typename T>
__device__ __forceinline__ float rounded(float x) {
  return to_float(from_float<T>(x));
}

constexpr float log2_e = 1.4426950408889634f;

// For bf16, exponential() uses a fast exponential, and sigmoid() also a fast division. Unless a result is denormal, the
// errors of both functions are far below the rounding error of bf16.
template <typename T>
__device__ __forceinline__ float exponential(float x) {
  if constexpr (std::is_same_v<T, bfloat16>)
    return exp2_approx(x * log2_e);
  else
    return expf(x);
}
template <typename T>
__device__ __forceinline__ float sigmoid(float x) {
  if constexpr (std::is_same_v<T, bfloat16>)
    return __fdividef(1.0f, 1.0f + exponential<T>(-x));
  else
    return 1.0f / (1.0f + exponential<T>(-x));
}

template <typename T, int width>
struct alignas(sizeof(T) * width < 16 ? sizeof(T) * width : 16) Pack {
  T values[width];
};

template <int width, typename T>
__device__ __forceinline__ void load(float (&to)[width], const T* from) {
  Pack<T, width> pack = *reinterpret_cast<const Pack<T, width>*>(from);
#pragma unroll
  for (int i = 0; i < width; ++i) to[i] = to_float(pack.values[i]);
}

// A vector kept in registers in its memory layout, so that a register can hold two bf16 values.
template <typename T, int width>
struct alignas(Pack<T, width>) Kept {
  using Word = std::conditional_t<sizeof(T) * width % 4 == 0, uint32_t, uint16_t>;
  Word words[sizeof(T) * width / sizeof(Word)];

  __device__ __forceinline__ void take(const T* from) { *this = *reinterpret_cast<const Kept*>(from); }
  __device__ __forceinline__ void load(float (&to)[width]) const {
    Pack<T, width> pack;
    memcpy(&pack, words, sizeof pack);
#pragma unroll
    for (int i = 0; i < width; ++i) to[i] = to_float(pack.values[i]);
  }
};

template <int width, typename T>
__device__ __forceinline__ void store(T* to, const float (&from)[width]) {
  Pack<T, width> pack;
#pragma unroll
  for (int i = 0; i < width; ++i) pack.values[i] = from_float<T>(from[i]);
  *reinterpret_cast<Pack<T, width>*>(to) = pack;
}

template <int width>
using Width = std::integral_constant<int, width>;

__device__ __forceinline__ int64_t thread_index() { return int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }
__device__ __forceinline__ int64_t thread_count() { return int64_t{gridDim.x} * blockDim.x; }

// Grid-stride loop over elements [0, count). Calls f(position, Width<width>()) for whole vectors. Then calls
// f(position, Width<1>()) for the remaining elements.
template <int width, typename F>
__device__ __forceinline__ void for_elements(int64_t count, F f) {
  int64_t whole = count / width * width;
  for (int64_t i = thread_index() * width; i < whole; i += thread_count() * width) f(i, Width<width>());
  for (int64_t i = whole + thread_index(); i < count; i += thread_count()) f(i, Width<1>());
}

// Loop of one block over a row of any alignment and at most 2^30 elements: calls f(position, Width) for single elements
// up to a 16-byte boundary, then for whole vectors, then for the remaining elements.
template <typename T, typename F>
__device__ __forceinline__ void for_row(const T* row, int count, F f) {
  constexpr int width = 16 / sizeof(T);
  const int head = min(static_cast<int>((16 - reinterpret_cast<uintptr_t>(row) % 16) % 16 / sizeof(T)), count);
  const int tail = head + (count - head) / width * width;
  for (int i = int(threadIdx.x); i < head; i += int(blockDim.x)) f(i, Width<1>());
  for (int i = head + int(threadIdx.x) * width; i < tail; i += int(blockDim.x) * width) f(i, Width<width>());
  for (int i = tail + int(threadIdx.x); i < count; i += int(blockDim.x)) f(i, Width<1>());
}

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int step = warp_size / 2; step > 0; step /= 2) x += __shfl_xor_sync(all_lanes, x, step);
  return x;
}

__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
  for (int step = warp_size / 2; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(all_lanes, x, step));
  return x;
}

// Returns to every thread the sum of x over the block, which is one-dimensional and has whole warps. A NaN propagates.
__device__ inline float block_sum(float x) {
  SHARED_ARRAY(float, partial, warp_size);
  int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size, warps = blockDim.x / warp_size;
  x = warp_sum(x);
  if (lane == 0) partial[warp] = x;
  __syncthreads();
  float total = warp_sum(lane < warps ? partial[lane] : 0.0f);
  __syncthreads();
  return total;
}

__device__ inline float block_max(float x) {
  SHARED_ARRAY(float, partial, warp_size);
  int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size, warps = blockDim.x / warp_size;
  x = warp_max(x);
  if (lane == 0) partial[warp] = x;
  __syncthreads();
  float largest = warp_max(partial[lane < warps ? lane : 0]);
  __syncthreads();
  return largest;
}

// vector_elements if all pointers are 16-byte aligned and rows hold whole vectors, else 1.
inline int vector_width(std::initializer_list<const void*> pointers, int64_t columns = vector_elements) {
  bool aligned = columns % vector_elements == 0;
  for (const void* pointer : pointers) aligned = aligned && reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
  return aligned ? vector_elements : 1;
}

// Calls f(float()) or f(__nv_bfloat16()).
template <typename F>
void with_dtype(DType dtype, F f) {
  if (dtype == DType::bf16)
    f(__nv_bfloat16());
  else
    f(float());
}

// Calls f(Width<8>()) or f(Width<1>()).
template <typename F>
void with_width(int width, F f) {
  if (width == vector_elements)
    f(Width<vector_elements>());
  else
    f(Width<1>());
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace rowan::cuda
