// Attention: which kernels run, and the row products that the plain backward starts with.
#include "base/error.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_cudnn.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/vector.cuh"

namespace rowan {
namespace {

using namespace cuda;

constexpr int delta_threads = 128, delta_lanes = 8;

// delta[batch, head, seq] = dout . out; 8 lanes take a (token, head).
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

// cuDNN's kernels know neither documents nor our dropout.
bool is_plain(const AttentionRule& rule) { return rule.documents.empty() && rule.dropout.rate == 0; }

void check_shape(const char* operation, const AttentionShape& shape) {
  if (shape.head_dim > largest_head_dim)
    fail("{}: head_dim is {}, must be at most {} on a GPU", operation, shape.head_dim, largest_head_dim);
  if (!(shape.scale > 0)) fail("{}: scale is {}, must be above 0 on a GPU", operation, shape.scale);
}

template <typename T>
bool on_tensor_cores(const AttentionArguments<T>& a) {
  return std::is_same_v<T, bfloat16> && a.head_dim % 8 == 0 && a.head_dim <= largest_tensor_core_head_dim &&
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
  if (cudnn_ && is_plain(rule) && qkv.dtype == DType::bf16 &&
      cudnn_->backward(dqkv, dout, out, log_sum_exp, qkv, shape, workspace_))
    return;
  with_dtype(qkv.dtype, [&](auto type) {
    using T = decltype(type);
    AttentionArguments<T> a = arguments<T>(shape, rule);
    a.qkv = qkv.as<T>();
    a.out = out.as<T>();
    a.dout = dout.as<T>();
    a.dqkv = dqkv.as<T>();
    a.log_sum_exp = log_sum_exp.as<float>();
    a.delta = workspace<float>(shape.tokens() * shape.heads);
    AttentionKernel<T> query = plain_backward_query<T>();
    AttentionKernel<T> key_value = plain_backward_key_value<T>();
    bool with_delta = false;  // computed by the query kernel
    if constexpr (std::is_same_v<T, bfloat16>)
      if (on_tensor_cores(a)) {
        query = tensor_core_backward_query(shape.head_dim, a.dropout.on());
        key_value = tensor_core_backward_key_value(shape.head_dim, a.dropout.on());
        with_delta = true;
      }
    if (!with_delta)
      with_width(vector_width({a.dout, a.out}, shape.head_dim), [&](auto w) {
        int64_t items = shape.tokens() * shape.heads;
        launch(delta_kernel<T, decltype(w)::value>, unsigned(ceil_div(items * delta_lanes, delta_threads)),
               delta_threads, 0, a, items);
      });
    launch(query.kernel,
           dim3(unsigned(ceil_div(shape.seq, query.rows_per_block)), unsigned(shape.heads), unsigned(shape.batch)),
           query.threads, query.shared_bytes, a);
    launch(
        key_value.kernel,
        dim3(unsigned(ceil_div(shape.seq, key_value.rows_per_block)), unsigned(shape.kv_heads), unsigned(shape.batch)),
        key_value.threads, key_value.shared_bytes, a);
  });
}

void CudaBackend::plan_attention(const AttentionShape& shape, DType dtype) {
  if (!cudnn_) return;
  if (dtype != DType::bf16) fail("attention: cuDNN's takes bf16, not fp32; use \"rowan\"");
  workspace(cudnn_->plan(shape));
}

}  // namespace rowan
