// Causal attention without tensor cores, for operands that the kernels on tensor cores do not support. The kernels for
// the forward and for dq have one block per query and head. The kernel for dk and dv has one block per key and
// key/value head. A thread computes one score of a tile of 64 scores, then up to 4 elements of the result. The kernels
// are slow, because in dot() the lanes of a warp read from different rows.
// FLOPs per unmasked score: forward 4 * head_dim, backward 14 * head_dim, because both kernels of the backward compute
// the scores and the gradients of the softmax weights. Lower bound on time: these FLOPs at the rate of fp32 FMAs. The
// lanes' addresses keep the kernels far from it: `rowan plan --device` assumes 1/64 of that rate. Bytes matter less:
// each tile of 64 rows comes from the L1 or L2 cache.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/vector.cuh"

namespace rowan::cuda {
namespace {

constexpr int threads = 64, elements = static_cast<int>(largest_head_dim) / threads;

__device__ __forceinline__ int thread() { return static_cast<int>(threadIdx.x); }

template <typename T>
__device__ float dot(const T* a, const T* b, int count) {
  float total = 0.0f;
  for (int d = 0; d < count; ++d) total += to_float(a[d]) * to_float(b[d]);
  return total;
}

// sums[i] += the sum over t < size of factors[t] * rows[t, d], where d = thread() + i * threads.
template <typename T>
__device__ void add_rows(float (&sums)[elements], const float* factors, const T* rows, int64_t stride, int size,
                         int head_dim) {
#pragma unroll
  for (int i = 0; i < elements; ++i)
    if (int d = thread() + i * threads; d < head_dim)
      for (int t = 0; t < size; ++t) sums[i] += factors[t] * to_float(rows[t * stride + d]);
}

template <typename T>
__device__ void store_row(T* to, const float (&sums)[elements], float factor, int head_dim) {
#pragma unroll
  for (int i = 0; i < elements; ++i)
    if (int d = thread() + i * threads; d < head_dim) to[d] = from_float<T>(sums[i] * factor);
}

template <typename T>
__global__ void forward_kernel(AttentionArguments<T> a) {
  SHARED_ARRAY(float, weights, threads);
  int query = blockIdx.x, head = blockIdx.y, batch = blockIdx.z, kv_head = head / (a.heads / a.kv_heads);
  const T *q = a.qkv + a.query(batch, head) + query * a.qkv_row(), *keys = a.qkv + a.key(batch, kv_head),
          *values = a.qkv + a.value(batch, kv_head);
  float sums[elements] = {}, largest = -INFINITY, total = 0.0f;
  const uint64_t stream = a.dropout.on() ? a.dropout.stream(batch) : 0;
  for (int begin = a.document_begin(batch, query); begin <= query; begin += threads) {
    int size = min(threads, query + 1 - begin), key = begin + thread();
    bool seen = thread() < size;
    float score = seen ? a.scale * dot(q, keys + key * a.qkv_row(), a.head_dim) : -INFINITY;
    float top = fmaxf(largest, block_max(score)), shrink = expf(largest - top);
    float weight = seen ? expf(score - top) : 0.0f;
    largest = top;
    total = total * shrink + block_sum(weight);
    for (float& sum : sums) sum *= shrink;
    weights[thread()] = seen && a.dropout.on() ? weight * a.dropped(stream, head, query, key) : weight;
    __syncthreads();
    add_rows(sums, weights, values + begin * a.qkv_row(), a.qkv_row(), size, a.head_dim);
    __syncthreads();
  }
  store_row(a.result + a.output(batch, head) + query * a.out_row(), sums, 1.0f / total, a.head_dim);
  if (thread() == 0) a.log_sum_exp[a.row_values(batch, head) + query] = largest + logf(total);
}

template <typename T>
__global__ void query_kernel(AttentionArguments<T> a) {
  SHARED_ARRAY(float, ds, threads);
  int query = blockIdx.x, head = blockIdx.y, batch = blockIdx.z, kv_head = head / (a.heads / a.kv_heads);
  const T *q = a.qkv + a.query(batch, head) + query * a.qkv_row(), *keys = a.qkv + a.key(batch, kv_head),
          *values = a.qkv + a.value(batch, kv_head), *dout = a.dout + a.output(batch, head) + query * a.out_row();
  float log_sum = a.log_sum_exp[a.row_values(batch, head) + query], delta = a.delta[a.row_values(batch, head) + query];
  float sums[elements] = {};
  const uint64_t stream = a.dropout.on() ? a.dropout.stream(batch) : 0;
  for (int begin = a.document_begin(batch, query); begin <= query; begin += threads) {
    int size = min(threads, query + 1 - begin);
    int64_t row = (begin + thread()) * a.qkv_row();
    ds[thread()] = 0.0f;
    if (thread() < size) {
      float dp = dot(dout, values + row, a.head_dim);
      if (a.dropout.on()) dp *= a.dropped(stream, head, query, begin + thread());
      ds[thread()] = expf(a.scale * dot(q, keys + row, a.head_dim) - log_sum) * (dp - delta);
    }
    __syncthreads();
    add_rows(sums, ds, keys + begin * a.qkv_row(), a.qkv_row(), size, a.head_dim);
    __syncthreads();
  }
  store_row(a.dqkv + a.query(batch, head) + query * a.qkv_row(), sums, a.scale, a.head_dim);
}

template <typename T>
__global__ void key_value_kernel(AttentionArguments<T> a) {
  SHARED_ARRAY(float, weights, threads);
  SHARED_ARRAY(float, ds, threads);
  int key = blockIdx.x, kv_head = blockIdx.y, batch = blockIdx.z, group = a.heads / a.kv_heads;
  const T *k = a.qkv + a.key(batch, kv_head) + key * a.qkv_row(),
          *v = a.qkv + a.value(batch, kv_head) + key * a.qkv_row();
  float dk[elements] = {}, dv[elements] = {};
  const int end = a.document_end(batch, key);
  const uint64_t stream = a.dropout.on() ? a.dropout.stream(batch) : 0;
  for (int head = kv_head * group; head < (kv_head + 1) * group; ++head) {
    const T *queries = a.qkv + a.query(batch, head), *douts = a.dout + a.output(batch, head);
    for (int begin = key; begin < end; begin += threads) {
      int size = min(threads, end - begin), query = begin + thread();
      weights[thread()] = ds[thread()] = 0.0f;
      if (thread() < size) {
        int64_t row = a.row_values(batch, head) + query;
        float p = expf(a.scale * dot(queries + query * a.qkv_row(), k, a.head_dim) - a.log_sum_exp[row]);
        float kept = a.dropout.on() ? a.dropped(stream, head, query, key) : 1.0f;
        weights[thread()] = p * kept;
        ds[thread()] = p * (dot(douts + query * a.out_row(), v, a.head_dim) * kept - a.delta[row]);
      }
      __syncthreads();
      add_rows(dv, weights, douts + begin * a.out_row(), a.out_row(), size, a.head_dim);
      add_rows(dk, ds, queries + begin * a.qkv_row(), a.qkv_row(), size, a.head_dim);
      __syncthreads();
    }
  }
  store_row(a.dqkv + a.key(batch, kv_head) + key * a.qkv_row(), dk, a.scale, a.head_dim);
  store_row(a.dqkv + a.value(batch, kv_head) + key * a.qkv_row(), dv, 1.0f, a.head_dim);
}

}  // namespace

template <typename T>
AttentionKernel<T> plain_forward() {
  return {forward_kernel<T>, 1, threads, 0};
}
template <typename T>
AttentionKernel<T> plain_backward_query() {
  return {query_kernel<T>, 1, threads, 0};
}
template <typename T>
AttentionKernel<T> plain_backward_key_value() {
  return {key_value_kernel<T>, 1, threads, 0};
}

template AttentionKernel<float> plain_forward();
template AttentionKernel<float> plain_backward_query();
template AttentionKernel<float> plain_backward_key_value();
template AttentionKernel<bfloat16> plain_forward();
template AttentionKernel<bfloat16> plain_backward_query();
template AttentionKernel<bfloat16> plain_backward_key_value();

}  // namespace rowan::cuda
