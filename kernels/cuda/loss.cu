// Cross-entropy: a block per row, the maximum and the sum of exponentials in one reading, the gradient written over
// the logits in a second.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/vector.cuh"

namespace rowan {
namespace {

using namespace cuda;

constexpr int ignored = -100;

template <typename T>
__global__ void cross_entropy_kernel(float* losses, T* all_logits, const int* targets, int64_t width,
                                     int64_t vocabulary, float grad_scale, bool gradient, int* bad_id) {
  T* logits = all_logits + blockIdx.x * width;
  int target = targets[blockIdx.x];
  bool bad = target != ignored && (target < 0 || target >= vocabulary);
  if (bad && threadIdx.x == 0) {
    bad_id[0] = 2;
    bad_id[1] = target;
  }
  if (bad || target == ignored) {
    if (threadIdx.x == 0) losses[blockIdx.x] = 0.0f;
    if (!gradient) return;
    for_row(logits, width, [&](int64_t i, auto w) {
      float zeros[decltype(w)::value] = {};
      store(logits + i, zeros);
    });
    return;
  }
  float largest = -INFINITY, sum = 0.0f;
  for_row(logits, vocabulary, [&](int64_t i, auto w) {
    constexpr int n = decltype(w)::value;
    float x[n], top = largest;
    load(x, logits + i);
#pragma unroll
    for (int j = 0; j < n; ++j) top = fmaxf(top, x[j]);
    if (top > largest) sum *= exponential<T>(largest - top);
    largest = top;
    float shift = top == -INFINITY ? 0.0f : top;  // impossible tokens only, so far
#pragma unroll
    for (int j = 0; j < n; ++j) sum += exponential<T>(x[j] - shift);
  });
  float top = block_max(largest);
  float total = block_sum(sum * exponential<T>(largest - top));
  float chosen = to_float(logits[target]);
  if (threadIdx.x == 0) losses[blockIdx.x] = logf(total) + top - chosen;
  if (!gradient) return;
  __syncthreads();  // everybody has read logits[target]
  float factor = grad_scale / total;
  for_row(logits, vocabulary, [&](int64_t i, auto w) {
    constexpr int n = decltype(w)::value;
    float x[n];
    load(x, logits + i);
#pragma unroll
    for (int j = 0; j < n; ++j) {
      x[j] = factor * exponential<T>(x[j] - top);
      if (i + j == target) x[j] -= grad_scale;
    }
    store(logits + i, x);
  });
  for (int64_t i = vocabulary + threadIdx.x; i < width; i += blockDim.x) logits[i] = from_float<T>(0.0f);
}

}  // namespace

void CudaBackend::do_cross_entropy(Tensor losses, Tensor logits, Tensor targets, int64_t vocabulary, float grad_scale,
                                   bool gradient) {
  if (logits.rows() == 0) return;
  unsigned block = unsigned(std::clamp<int64_t>(ceil_div(vocabulary, 8 * warp_size) * warp_size, warp_size, 1024));
  with_dtype(logits.dtype, [&](auto type) {
    using T = decltype(type);
    launch(cross_entropy_kernel<T>, unsigned(logits.rows()), block, 0, losses.as<float>(), logits.as<T>(),
           targets.as<int>(), logits.cols(), vocabulary, grad_scale, gradient, bad_id_);
  });
}

}  // namespace rowan
