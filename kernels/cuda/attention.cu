// Chooses the attention kernels, and defines two kernels of the backward. The first computes delta, which is
// dot(dout, out) of each query and head. The second adds up partial sums of dq. Lower bound on the time for delta:
// reading dout and out at the bandwidth of a copy.
#include <algorithm>

#include "base/error.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_cudnn.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/vector.cuh"

namespace rowan {
namespace {

using namespace cuda;

constexpr int delta_threads = 128, delta_lanes = 8;

// delta[batch, heads, seq] = dot(dout, out). Eight lanes compute one value.
template <typename T, int width>
__global__ void delta_kernel(AttentionArguments<T> a, int64_t items) {
  int64_t item = thread_index() / delta_lanes;
  int lane = threadIdx.x % delta_lanes;
  float total = 0.0f, x[width], y[width];
  for (int d = lane * width; item < items && d < a.head_dim; d += delta_lanes * width) {
    load(x, a.dout + item * a.head_dim + d);
    load(y, a.out + item * a.head_dim + d);
#pragma unroll
    for (int i = 0; i < width; ++i) total += x[i] * y[i];
  }
#pragma unroll
  for (int step = delta_lanes / 2; step > 0; step /= 2) total += __shfl_xor_sync(all_lanes, total, step);
  if (item >= items || lane > 0) return;
  int64_t n = item / a.heads;
  a.delta[a.row_values(static_cast<int>(n / a.seq), static_cast<int>(item % a.heads)) + n % a.seq] = total;
}

// Adds up the owners' sums of dq (attention.h) and multiplies by the scale. Tile t of keys belongs to owner t % owners.
// The order of addition is fixed. It begins with the owner of the first tile of keys that the query's tile attends to.
// If a.rope is set, the kernel also undoes RoPE. `keys` is the number of keys in a tile.
__global__ void add_owners_kernel(AttentionArguments<bfloat16> a, int owners, int keys) {
  // With RoPE, a thread processes two vectors, because RoPE rotates columns d and d + head_dim / 2 together.
  const int parts = a.rope ? 2 : 1, vectors = a.head_dim / vector_elements / parts;
  for (int64_t i = thread_index(); i < int64_t{a.batch} * a.heads * a.seq * vectors; i += thread_count()) {
    const int column = static_cast<int>(i % vectors) * vector_elements;
    const int query = static_cast<int>(i / vectors % a.seq);
    const int head = static_cast<int>(i / vectors / a.seq % a.heads);
    const int row = static_cast<int>(i / vectors / a.seq / a.heads);
    const int first_query = query / tile_queries * tile_queries, begin = a.document_begin(row, first_query) / keys;
    float sums[2][vector_elements] = {}, x[vector_elements];
    for (int t = begin; t <= query / keys && t < begin + owners; ++t)
#pragma unroll
      for (int part = 0; part < 2; ++part) {
        if (part >= parts) continue;
        load(x, a.dq_sums + a.dq_row(t % owners, row, head, query) + column + part * (a.head_dim / 2));
#pragma unroll
        for (int j = 0; j < vector_elements; ++j) sums[part][j] += x[j];
      }
    if (a.rope) {
      float cosine[vector_elements], sine[vector_elements];
      load(cosine, a.rope + int64_t{query} * a.head_dim + column);
      load(sine, a.rope + int64_t{query} * a.head_dim + a.head_dim / 2 + column);
#pragma unroll
      for (int j = 0; j < vector_elements; ++j) rotate_back(sums[0][j], sums[1][j], cosine[j], sine[j]);
    }
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      if (part >= parts) continue;
#pragma unroll
      for (float& sum : sums[part]) sum *= a.scale;
      store(a.dqkv + a.query(row, head) + query * a.qkv_row() + column + part * (a.head_dim / 2), sums[part]);
    }
  }
}

// The cuDNN graphs of attention_cudnn.cpp do not support documents or dropout.
bool is_plain(const AttentionRule& rule) { return rule.documents.empty() && rule.dropout.rate == 0; }

void check_shape(const char* operation, const AttentionShape& shape) {
  if (shape.head_dim > largest_head_dim)
    fail("{}: head_dim: found {}, expected at most {} on a GPU", operation, shape.head_dim, largest_head_dim);
  if (!(shape.scale > 0)) fail("{}: scale: found {}, expected more than 0 on a GPU", operation, shape.scale);
}

bool fits_tensor_cores(DType dtype, int64_t head_dim) {
  return dtype == DType::bf16 && head_dim % 8 == 0 && head_dim <= largest_tensor_core_head_dim;
}

template <typename T>
bool on_tensor_cores(const AttentionArguments<T>& a) {
  return fits_tensor_cores(std::is_same_v<T, bfloat16> ? DType::bf16 : DType::f32, a.head_dim) &&
         vector_width({a.qkv, a.out, a.dout, a.result, a.dqkv}) > 1;
}

template <typename T>
AttentionArguments<T> arguments(const AttentionShape& s, const AttentionRule& rule) {
  AttentionArguments<T> a{};
  a.seq = static_cast<int>(s.seq);
  a.heads = static_cast<int>(s.heads);
  a.kv_heads = static_cast<int>(s.kv_heads);
  a.head_dim = static_cast<int>(s.head_dim);
  a.scale = s.scale;
  a.documents = rule.documents.as<int>();
  a.dropout = DropoutMask(rule.dropout);
  a.batch = static_cast<int>(s.batch);
  return a;
}

}  // namespace

void CudaBackend::do_attention_forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& shape,
                                       const AttentionRule& rule) {
  check_shape("attention_forward", shape);
  if (cudnn_ && is_plain(rule) && qkv.dtype == DType::bf16 && cudnn_->forward(out, log_sum_exp, qkv, shape, workspace_))
    return;
  with_dtype(qkv.dtype, [&](auto type) {
    using T = decltype(type);
    AttentionArguments<T> a = arguments<T>(shape, rule);
    a.qkv = qkv.as<T>();
    a.result = out.as<T>();
    a.log_sum_exp = log_sum_exp.as<float>();
    AttentionKernel<T> forward = plain_forward<T>();
    if constexpr (std::is_same_v<T, bfloat16>)
      if (on_tensor_cores(a)) forward = tensor_core_forward(shape.head_dim, a.dropout.on());
    launch(forward.kernel,
           dim3(unsigned(ceil_div(shape.seq, forward.rows_per_block)), unsigned(shape.heads), unsigned(shape.batch)),
           forward.threads, forward.shared_bytes, a);
  });
}

void CudaBackend::do_attention_backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv,
                                        const AttentionShape& shape, const AttentionRule& rule) {
  check_shape("attention_backward", shape);
  auto undo_rope = [&] {
    if (!rule.rope.empty()) do_rope(dqkv, rule.rope, shape, true);
  };
  if (cudnn_ && is_plain(rule) && qkv.dtype == DType::bf16 &&
      cudnn_->backward(dqkv, dout, out, log_sum_exp, qkv, shape, workspace_))
    return undo_rope();
  bool rotates = false;  // whether the kernels undo RoPE
  with_dtype(qkv.dtype, [&](auto type) {
    using T = decltype(type);
    AttentionArguments<T> a = arguments<T>(shape, rule);
    a.qkv = qkv.as<T>();
    a.out = out.as<T>();
    a.dout = dout.as<T>();
    a.dqkv = dqkv.as<T>();
    a.log_sum_exp = log_sum_exp.as<float>();
    const int64_t deltas = shape.tokens() * shape.heads;
    auto launch_delta = [&] {
      with_width(vector_width({a.dout, a.out}, shape.head_dim), [&](auto w) {
        launch(delta_kernel<T, decltype(w)::value>, unsigned(ceil_div(deltas * delta_lanes, delta_threads)),
               delta_threads, 0, a, deltas);
      });
    };
    auto launch_over = [&](const AttentionKernel<T>& kernel, int64_t blocks, int64_t heads) {
      launch(kernel.kernel, dim3(unsigned(blocks), unsigned(heads), unsigned(shape.batch)), kernel.threads,
             kernel.shared_bytes, a);
    };
    auto tiles_of = [&](const AttentionKernel<T>& kernel) { return ceil_div(shape.seq, kernel.rows_per_block); };
    if constexpr (std::is_same_v<T, bfloat16>)
      if (on_tensor_cores(a)) {
        rotates = shape.head_dim % 32 == 0 && !rule.rope.empty() && vector_width({rule.rope.data}) > 1;
        if (rotates) a.rope = rule.rope.as<float>();
        if (const int64_t owners = attention_owners(shape, multiprocessors_)) {
          const AttentionKernel<T> all = tensor_core_backward_key_value(shape.head_dim, a.dropout.on(), true);
          const int64_t sums = a.dq_row(int(owners), 0, 0, 0);
          a.dq_sums = workspace<float>(sums + deltas);
          a.delta = a.dq_sums + sums;
          launch_delta();
          launch_over(all, owners, shape.kv_heads);
          if (owners > 1)
            launch(add_owners_kernel, grid_for(deltas * shape.head_dim / vector_elements, delta_threads), delta_threads,
                   0, a, int(owners), int(all.rows_per_block));
          return;
        }
        a.delta = workspace<float>(deltas);
        const AttentionKernel<T> query = tensor_core_backward_query(shape.head_dim, a.dropout.on()),
                                 key_value = tensor_core_backward_key_value(shape.head_dim, a.dropout.on(), false);
        launch_over(query, tiles_of(query), shape.heads);
        launch_over(key_value, tiles_of(key_value), shape.kv_heads);
        return;
      }
    a.delta = workspace<float>(deltas);
    launch_delta();
    launch_over(plain_backward_query<T>(), tiles_of(plain_backward_query<T>()), shape.heads);
    launch_over(plain_backward_key_value<T>(), tiles_of(plain_backward_key_value<T>()), shape.kv_heads);
  });
  if (!rotates) undo_rope();
}

std::string CudaBackend::slow_attention(const AttentionShape& shape, DType dtype) const {
  if (cudnn_ || fits_tensor_cores(dtype, shape.head_dim)) return "";
  return fmt::format(
      "plain kernels for {} and head_dim {}, tens of times slower than tensor-core kernels, which need bf16 and a "
      "head_dim that is a multiple of 8, at most {}",
      name_of(dtype), shape.head_dim, largest_tensor_core_head_dim);
}

void CudaBackend::plan_attention(const AttentionShape& shape, DType dtype) {
  if (!cudnn_) return;
  if (dtype != DType::bf16) fail("attention: dtype: found fp32, expected bf16 for \"cudnn\"; use \"rowan\" for fp32");
  workspace(cudnn_->plan(shape));
}

}  // namespace rowan
