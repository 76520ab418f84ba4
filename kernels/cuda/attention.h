// Arguments and launch parameters of Rowan's attention kernels. There are two implementations. Kernels on tensor cores
// are for bf16 and head sizes up to 128 that are multiples of 8 (attention_forward.cu, attention_backward.cu). Plain
// kernels (attention_plain.cu) are for all other operands, with head sizes up to 256.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "kernels/dropout.h"
#include "kernels/gpu_limits.h"
#include "kernels/gpu_workspace.h"

namespace rowan::cuda {

constexpr int64_t largest_tensor_core_head_dim = 128;
// Number of queries in a tile of the backward's key-value kernel.
constexpr int tile_queries = attention_tile_queries;

template <typename T>
struct AttentionArguments {
  const T *qkv, *out, *dout;  // inputs; only the backward reads out and dout
  T *result, *dqkv;           // output of the forward, output of the backward
  float* log_sum_exp;         // [batch, heads, seq]: log-sum-exp of the scores of each query and head
  float* delta;               // [batch, heads, seq]: dot(dout, out) of each query and head
  float* dq_sums;             // owners' sums of dq: [owners, batch, heads, seq, head_dim], padded as in dq_row()
  const float* rope;          // fp32[seq, head_dim]: RoPE's table, if the kernels undo RoPE in dq and dk; else null
  const int* documents;       // [3, batch, seq] from find_documents(); null: each row is one document
  DropoutMask dropout;
  int batch;
  int seq, heads, kv_heads, head_dim;
  float scale;

  __host__ __device__ int64_t qkv_row() const { return int64_t{heads + 2 * kv_heads} * head_dim; }
  __host__ __device__ int64_t out_row() const { return int64_t{heads} * head_dim; }
  // Offset, in elements, of a head in the first token of a sequence. query(), key() and value() are for qkv and dqkv.
  // output() is for out, dout and result.
  __host__ __device__ int64_t query(int batch, int head) const {
    return batch * seq * qkv_row() + int64_t{head} * head_dim;
  }
  __host__ __device__ int64_t key(int batch, int kv_head) const { return query(batch, heads + kv_head); }
  __host__ __device__ int64_t value(int batch, int kv_head) const { return query(batch, heads + kv_heads + kv_head); }
  __host__ __device__ int64_t output(int batch, int head) const {
    return batch * seq * out_row() + int64_t{head} * head_dim;
  }
  // document_begin: the position where the document of `token` begins. document_end: the position after the document's
  // last token.
  __device__ __forceinline__ int document_begin(int row, int token) const {
    return documents ? documents[int64_t{row} * seq + token] : 0;
  }
  __device__ __forceinline__ int document_end(int row, int token) const {
    return documents ? documents[(int64_t{batch} + row) * seq + token] : seq;
  }
  // The factor by which dropout multiplies a softmax weight. `stream` is the random stream of the query's sequence.
  __device__ __forceinline__ float dropped(uint64_t stream, int head, int query, int key) const {
    float factors[4];
    dropout.four(factors, stream, DropoutMask::attention_group(head, query, key, seq));
    return factors[key % 4];
  }

  // Offset in dq_sums, in elements, of an owner's sums for one query and head.
  __host__ __device__ int64_t dq_row(int owner, int row, int head, int query) const {
    const int64_t rows = (seq + tile_queries - 1) / tile_queries * tile_queries, width = (head_dim + 31) / 32 * 32;
    return (((int64_t{owner} * batch + row) * heads + head) * rows + query) * width;
  }
  __host__ __device__ int64_t row_values(int batch, int head) const { return (int64_t{batch} * heads + head) * seq; }
};

// Undoes the rotation of one pair of values by rope().
__device__ __forceinline__ void rotate_back(float& x, float& y, float cosine, float sine) {
  const float before = x;
  x = x * cosine + y * sine;
  y = y * cosine - before * sine;
}

// A kernel and its launch parameters. The grid is (x, heads or kv_heads, batch), where x depends on the kernel.
template <typename T>
struct AttentionKernel {
  void (*kernel)(AttentionArguments<T>);
  unsigned rows_per_block, threads;
  size_t shared_bytes;
};

// The head size, rounded up to 32, 64, 96 or 128, is a template parameter of the kernels on tensor cores. Dropout is
// also a template parameter, because random draws take registers.
// In the backward without `with_dq`, the query kernel computes dq and delta. The key-value kernel then reads delta and
// computes dk and dv. Grid x of the key-value kernel is the number of tiles of keys.
// With `with_dq`, no query kernel runs: the caller computes delta, and the key-value kernel computes dq, dk and dv.
// Grid x is the number of owners. An owner is a block that, for one key/value head of a sequence, processes every
// owners-th tile of keys. If there are several owners, the caller adds up their sums of dq.
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
