// Arguments and launch descriptions shared by the attention kernels. There are two implementations: kernels on tensor
// cores for bf16 and head sizes that are multiples of 8 up to 128 (attention_forward.cu, attention_backward.cu), and
// plain kernels for fp32 and all other head sizes up to 256 (attention_plain.cu).
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "kernels/dropout.h"
#include "kernels/gpu_workspace.h"

namespace rowan::cuda {

constexpr int64_t largest_head_dim = 256, largest_tensor_core_head_dim = 128;
// Number of queries in a tile of the backward. It is small, because the sums of dk and dv take most of the registers.
constexpr int tile_queries = attention_tile_queries;

template <typename T>
struct AttentionArguments {
  const T *qkv, *out, *dout;  // out and dout are read by the backward
  T *result, *dqkv;           // result is the forward's out
  float* log_sum_exp;         // [batch, heads, seq]
  float* delta;               // [batch, heads, seq]: dot(dout, out) of each row
  float* dq_sums;             // [owners (below), batch, heads, seq and head_dim rounded up to tile_queries and 32]
  const float* rope;          // f32[seq, head_dim]: dq and dk are rotated back by it; null: they are not
  const int* documents;       // [3, batch, seq] from find_documents(); null: each row is one document
  DropoutMask dropout;
  int batch;
  int seq, heads, kv_heads, head_dim;
  float scale;

  __host__ __device__ int64_t qkv_row() const { return int64_t{heads + 2 * kv_heads} * head_dim; }
  __host__ __device__ int64_t out_row() const { return int64_t{heads} * head_dim; }
  // Offset, in elements, of a head's first row.
  __host__ __device__ int64_t query(int batch, int head) const {
    return batch * seq * qkv_row() + int64_t{head} * head_dim;
  }
  __host__ __device__ int64_t key(int batch, int kv_head) const { return query(batch, heads + kv_head); }
  __host__ __device__ int64_t value(int batch, int kv_head) const { return query(batch, heads + kv_heads + kv_head); }
  __host__ __device__ int64_t output(int batch, int head) const {
    return batch * seq * out_row() + int64_t{head} * head_dim;
  }
  // The position in a row where a token's document begins, and the position after its last token.
  __device__ __forceinline__ int document_begin(int row, int token) const {
    return documents ? documents[int64_t{row} * seq + token] : 0;
  }
  __device__ __forceinline__ int document_end(int row, int token) const {
    return documents ? documents[(int64_t{batch} + row) * seq + token] : seq;
  }
  // The factor that dropout applies to a softmax weight. `stream` is the random stream of its row of the micro-batch.
  __device__ __forceinline__ float dropped(uint64_t stream, int head, int query, int key) const {
    float factors[4];
    dropout.four(factors, stream, DropoutMask::attention_group(head, query, key, seq));
    return factors[key % 4];
  }

  // Offset of a query's sums within dq_sums.
  __host__ __device__ int64_t dq_row(int owner, int row, int head, int query) const {
    const int64_t rows = (seq + tile_queries - 1) / tile_queries * tile_queries, width = (head_dim + 31) / 32 * 32;
    return (((int64_t{owner} * batch + row) * heads + head) * rows + query) * width;
  }
  __host__ __device__ int64_t row_values(int batch, int head) const { return (int64_t{batch} * heads + head) * seq; }
};

// Rotates a pair back by its angle: the inverse of rope().
__device__ __forceinline__ void rotate_back(float& x, float& y, float cosine, float sine) {
  const float before = x;
  x = x * cosine + y * sine;
  y = y * cosine - before * sine;
}

// A kernel and how to launch it: grid (x, heads or kv_heads, batch) and dynamic shared memory.
template <typename T>
struct AttentionKernel {
  void (*kernel)(AttentionArguments<T>);
  unsigned rows_per_block, threads;
  size_t shared_bytes;
};

// Instantiated for head sizes rounded up to 32, 64, 96 or 128, with and without dropout, because the random draws of
// dropout take registers.
// The query kernel computes dq, and delta for the key-value kernel that follows it. That kernel computes dk and dv, and
// its grid x is the number of tiles of keys.
// With `with_dq` the key-value kernel also computes dq, and the caller provides delta. Its grid x is the number of
// owners: an owner is a block that takes every owners-th tile of keys of a head. If there are several owners, the
// caller adds up their sums of dq.
AttentionKernel<__nv_bfloat16> tensor_core_forward(int64_t head_dim, bool dropout);
AttentionKernel<__nv_bfloat16> tensor_core_backward_query(int64_t head_dim, bool dropout);
AttentionKernel<__nv_bfloat16> tensor_core_backward_key_value(int64_t head_dim, bool dropout, bool with_dq);

template <typename T>
AttentionKernel<T> plain_forward();
template <typename T>
AttentionKernel<T> plain_backward_query();
template <typename T>
AttentionKernel<T> plain_backward_key_value();

}  // namespace rowan::cuda
