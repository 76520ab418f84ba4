// RMSNorm of query and key heads. A warp processes one head at a time. For a head x, rstd = 1 / sqrt(mean(x^2) + eps).
// Let n = x * rstd and g = dout * weight. Then dx = rstd * (g - n * mean(g * n)) and d_weight += dout * n.
// Bytes moved per bf16 value of the normalized heads: forward 4, backward 6. Lower bound on time: this traffic at the
// bandwidth of a copy.
#include <algorithm>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/vector.cuh"

namespace rowan {
namespace {

using namespace cuda;

constexpr int warps = 4, block = warps * warp_size;
constexpr int backward_blocks = 8;  // at most this many per multiprocessor, for queries and for keys each
constexpr int elements = static_cast<int>(largest_head_dim) / warp_size;  // elements of a head per lane, at most

struct Sizes {
  int64_t tokens, row;
  int heads, kv_heads, head_dim;
  float eps;
};

__device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x % warp_size); }

template <typename T>
__device__ __forceinline__ void load_head(float (&x)[elements], const T* from, int head_dim) {
#pragma unroll
  for (int i = 0; i < elements; ++i) {
    int d = lane() + i * warp_size;
    x[i] = d < head_dim ? to_float(from[d]) : 0.0f;
  }
}

template <typename T>
__device__ __forceinline__ void store_head(T* to, const float (&x)[elements], int head_dim) {
#pragma unroll
  for (int i = 0; i < elements; ++i)
    if (int d = lane() + i * warp_size; d < head_dim) to[d] = from_float<T>(x[i]);
}

__device__ __forceinline__ float rstd_of(const float (&x)[elements], const Sizes& s) {
  float squares = 0.0f;
#pragma unroll
  for (float value : x) squares += value * value;
  return 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(s.head_dim) + s.eps);
}

template <typename T>
__global__ void head_norm_forward_kernel(T* out, const T* in, const T* weight, Sizes s) {
  int64_t head = int64_t{blockIdx.x} * warps + threadIdx.x / warp_size;
  int each = s.heads + 2 * s.kv_heads, h = static_cast<int>(head % each);
  if (head >= s.tokens * each) return;
  float x[elements], gain[elements] = {};
  load_head(x, in + head * s.head_dim, s.head_dim);
  if (h < s.heads + s.kv_heads) {
    float rstd = rstd_of(x, s);
    if (weight) load_head(gain, weight + (h < s.heads ? 0 : s.head_dim), s.head_dim);
#pragma unroll
    for (int i = 0; i < elements; ++i) x[i] *= weight ? rstd * gain[i] : rstd;
  }
  store_head(out + head * s.head_dim, x, s.head_dim);
}

// blockIdx.y is 0 for queries and 1 for keys. partial fp32[2, blocks, head_dim] receives each block's part of the
// weight gradient, first for queries, then for keys. Without a weight, partial is null.
template <typename T>
__global__ void head_norm_backward_kernel(T* dqkv, float* partial, const T* in, const T* weight, Sizes s) {
  SHARED_ARRAY(float, sums, block* elements);
  int warp = threadIdx.x / warp_size, heads = blockIdx.y ? s.kv_heads : s.heads, first = blockIdx.y ? s.heads : 0;
  float gain[elements], d_gain[elements] = {};
#pragma unroll
  for (float& x : gain) x = 1.0f;
  if (weight) load_head(gain, weight + blockIdx.y * s.head_dim, s.head_dim);
  int64_t step = int64_t{gridDim.x} * warps;
  for (int64_t head = int64_t{blockIdx.x} * warps + warp; head < s.tokens * heads; head += step) {
    int64_t at = head / heads * s.row + (first + head % heads) * s.head_dim;
    float x[elements], d[elements], total = 0.0f;
    load_head(x, in + at, s.head_dim);
    load_head(d, dqkv + at, s.head_dim);
    float rstd = rstd_of(x, s);
#pragma unroll
    for (int i = 0; i < elements; ++i) {
      x[i] *= rstd;
      d_gain[i] += d[i] * x[i];
      d[i] *= gain[i];
      total += d[i] * x[i];
    }
    float mean = warp_sum(total) / static_cast<float>(s.head_dim);
#pragma unroll
    for (int i = 0; i < elements; ++i) d[i] = rstd * (d[i] - x[i] * mean);
    store_head(dqkv + at, d, s.head_dim);
  }
  if (!weight) return;
#pragma unroll
  for (int i = 0; i < elements; ++i) sums[warp * largest_head_dim + lane() + i * warp_size] = d_gain[i];
  __syncthreads();
  for (int d = threadIdx.x; d < s.head_dim; d += block) {
    float total = 0.0f;
    for (int w = 0; w < warps; ++w) total += sums[w * largest_head_dim + d];
    partial[(int64_t{blockIdx.y} * gridDim.x + blockIdx.x) * s.head_dim + d] = total;
  }
}

Sizes sizes_of(const AttentionShape& shape, float eps) {
  return {shape.tokens(), shape.qkv_width(), int(shape.heads), int(shape.kv_heads), int(shape.head_dim), eps};
}

}  // namespace

void CudaBackend::do_head_norm_forward(Tensor out, Tensor in, Tensor weight, const AttentionShape& shape, float eps) {
  Sizes sizes = sizes_of(shape, eps);
  with_dtype(in.dtype, [&](auto type) {
    using T = decltype(type);
    launch(head_norm_forward_kernel<T>, unsigned(ceil_div(shape.tokens() * (shape.heads + 2 * shape.kv_heads), warps)),
           block, 0, out.as<T>(), in.as<T>(), weight.as<T>(), sizes);
  });
}

void CudaBackend::do_head_norm_backward(Tensor dqkv, Tensor d_weight, Tensor in, Tensor weight,
                                        const AttentionShape& shape, float eps) {
  Sizes sizes = sizes_of(shape, eps);
  int64_t blocks = std::min<int64_t>(ceil_div(shape.tokens() * shape.heads, warps), multiprocessors_ * backward_blocks);
  float* partial = weight.empty() ? nullptr : workspace<float>(2 * blocks * shape.head_dim);
  with_dtype(in.dtype, [&](auto type) {
    using T = decltype(type);
    launch(head_norm_backward_kernel<T>, dim3(unsigned(blocks), 2), block, 0, dqkv.as<T>(), partial, in.as<T>(),
           weight.as<T>(), sizes);
  });
  if (!partial) return;
  for (int64_t half = 0; half < 2; ++half)
    sum_partials(d_weight.slice(half * shape.head_dim, shape.head_dim), partial + half * blocks * shape.head_dim,
                 blocks, true);
}

}  // namespace rowan
