// Cross-entropy, one block per row. The first pass computes the maximum and the sum of exponentials together. If the
// gradient is wanted, a second pass reads the row again and overwrites the logits with the gradient.
// Bytes moved per bf16 logit with the gradient: 4 if the second pass reads the row from the L2 cache, otherwise 6.
// Lower bound on time: 4 bytes at the bandwidth of a copy.
#include <algorithm>

#include "base/error.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/vector.cuh"

namespace rowan {
namespace {

using namespace cuda;

constexpr int ignored = -100, largest_block = 1024;
constexpr int64_t most_columns = int64_t{1} << 30;  // positions are 32-bit

// value() applies the soft cap to a logit, and slope() is the derivative of value(). Plain has no cap. In bf16, rsqrtf
// saves a division.
struct Plain {
  __device__ __forceinline__ float value(float x) const { return x; }
  __device__ __forceinline__ float slope(float) const { return 1.0f; }
};
template <typename T>
struct Capped {
  float cap;
  __device__ __forceinline__ float ratio(float x) const {
    const float squares = x * x + cap * cap;
    return std::is_same_v<T, bfloat16> ? cap * rsqrtf(squares) : cap / sqrtf(squares);
  }
  __device__ __forceinline__ float value(float x) const { return x * ratio(x); }
  __device__ __forceinline__ float slope(float x) const {
    float r = ratio(x);
    return r * r * r;
  }
};

// exp(x - top). In bf16, the exponent of 2 takes one multiply-add.
template <typename T>
struct Exponential {
  float top, shift;
  __device__ __forceinline__ explicit Exponential(float top) : top(top), shift(top * log2_e) {}
  __device__ __forceinline__ float operator()(float x) const {
    if constexpr (std::is_same_v<T, bfloat16>)
      return exp2_approx(x * log2_e - shift);
    else
      return expf(x - top);
  }
};

template <typename T, typename Cap>
__global__ void __launch_bounds__(largest_block)
    cross_entropy_kernel(float* losses, T* all_logits, const int* targets, int width, LossRule rule, Cap cap,
                         float grad_scale, bool gradient, int* bad_id) {
  T* logits = all_logits + int64_t{blockIdx.x} * width;
  const int vocabulary = static_cast<int>(rule.vocabulary);
  int target = targets[blockIdx.x];
  bool bad = target != ignored && (target < 0 || target >= vocabulary);
  if (bad && threadIdx.x == 0) {
    bad_id[0] = 2;
    bad_id[1] = target;
  }
  if (bad || target == ignored) {
    if (threadIdx.x == 0) losses[blockIdx.x] = 0.0f;
    if (!gradient) return;
    for_row(logits, width, [&](int i, auto w) {
      float zeros[decltype(w)::value] = {};
      store(logits + i, zeros);
    });
    return;
  }
  float largest = -INFINITY, sum = 0.0f;
  for_row(logits, vocabulary, [&](int i, auto w) {
    constexpr int n = decltype(w)::value;
    float x[n], top = largest;
    load(x, logits + i);
#pragma unroll
    for (float& z : x) {
      z = cap.value(z);
      top = fmaxf(top, z);
    }
    const Exponential<T> relative(top == -INFINITY ? 0.0f : top);  // -infinity: no logit so far is larger
    if (top > largest) sum *= relative(largest);
    largest = top;
#pragma unroll
    for (int j = 0; j < n; ++j) sum += relative(x[j]);
  });
  float top = block_max(largest);
  const Exponential<T> relative(top);
  float total = block_sum(sum * relative(largest));
  float log_sum = logf(total) + top, chosen = to_float(logits[target]);
  if (threadIdx.x == 0) losses[blockIdx.x] = log_sum - cap.value(chosen);
  if (!gradient) return;
  __syncthreads();  // every thread has read logits[target]
  float factor = grad_scale * (1.0f + 2.0f * rule.z_loss * log_sum) / total;
  for_row(logits, vocabulary, [&](int i, auto w) {
    float x[decltype(w)::value];
    load(x, logits + i);
#pragma unroll
    for (float& z : x) z = factor * relative(cap.value(z)) * cap.slope(z);
    store(logits + i, x);
  });
  __syncthreads();  // so that the next store to logits[target] comes after the loop's store
  if (threadIdx.x == 0)
    logits[target] = from_float<T>((factor * relative(cap.value(chosen)) - grad_scale) * cap.slope(chosen));
  for (int i = vocabulary + int(threadIdx.x); i < width; i += int(blockDim.x)) logits[i] = from_float<T>(0.0f);
}

}  // namespace

void CudaBackend::do_cross_entropy(Tensor losses, Tensor logits, Tensor targets, const LossRule& rule, float grad_scale,
                                   bool gradient) {
  if (logits.rows() == 0) return;
  if (logits.cols() > most_columns)
    fail("cross_entropy: logits: found {} columns, expected at most {} on a GPU", logits.cols(), most_columns);
  unsigned block =
      unsigned(std::clamp<int64_t>(ceil_div(rule.vocabulary, 8 * warp_size) * warp_size, warp_size, largest_block));
  with_dtype(logits.dtype, [&](auto type) {
    using T = decltype(type);
    auto run = [&](auto cap) {
      launch(cross_entropy_kernel<T, decltype(cap)>, unsigned(logits.rows()), block, 0, losses.as<float>(),
             logits.as<T>(), targets.as<int>(), int(logits.cols()), rule, cap, grad_scale, gradient, bad_id_);
    };
    if (rule.softcap > 0)
      run(Capped<T>{rule.softcap});
    else
      run(Plain{});
  });
}

}  // namespace rowan
