// Residual add fused with RMSNorm or LayerNorm, forward and backward. A warp processes one row at a time. Each lane
// reads the same elements in every pass, so later passes can hit the L1 cache, and passes need no synchronization.
// Bytes moved per bf16 value: forward with a branch 8 (reads residual and branch, writes sum and output), backward with
// `accumulate` 8 (reads dout, r and d_residual, writes d_residual). Lower bound on time: this traffic at the bandwidth
// of a copy.
#include <algorithm>

#include "base/error.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/vector.cuh"

namespace rowan {
namespace {

using namespace cuda;

constexpr int warps = 4, block = warps * warp_size;
constexpr int backward_blocks = 4;  // at most this many per multiprocessor

// Calls f(column) for each vector of a row that the calling lane processes.
template <int width, typename F>
__device__ __forceinline__ void for_lane(int64_t cols, F f) {
  for (int64_t column = threadIdx.x % warp_size * width; column < cols; column += warp_size * width) f(column);
}

// Number of vectors of a row that a lane keeps in registers.
template <typename T>
constexpr int kept = 8 / sizeof(T);
// Like for_lane, but f also receives the number of the vector as a compile-time constant: 0, 1, ... for the lane's
// first kept<T> vectors, and kept<T> for all later vectors.
template <typename T, int width, int i = 0, typename F>
__device__ __forceinline__ void for_kept(int64_t cols, F f) {
  int64_t column = (threadIdx.x % warp_size + i * warp_size) * width;
  if constexpr (i < kept<T>) {
    if (column < cols) f(column, std::integral_constant<int, i>());
    for_kept<T, width, i + 1>(cols, f);
  } else {
    for (; column < cols; column += warp_size * width) f(column, std::integral_constant<int, kept<T>>());
  }
}

// Calls f(R(), O(), T()). R is the element type of the residual stream, O of the norm's output, T of weight and branch.
template <typename F>
void with_types(DType stream, DType out, DType weight, F f) {
  if (stream == weight)
    with_dtype(weight, [&](auto type) { f(type, type, type); });
  else if (out == weight)
    f(float(), bfloat16(), bfloat16());
  else
    f(float(), float(), bfloat16());
}

// mean is null for RMSNorm. branch and sum are both null or both set. bias may be null. sum must not overlap an input.
template <typename R, typename O, typename T>
struct ForwardArguments {
  O* out;
  R* sum;
  float *mean, *rstd;
  const R* residual;
  const T *branch, *weight, *bias;
  int64_t rows, cols;
  float eps;
};

template <typename R, typename O, typename T, int width>
__global__ void norm_forward_kernel(ForwardArguments<R, O, T> a) {
  int64_t n = int64_t{blockIdx.x} * warps + threadIdx.x / warp_size;
  if (n >= a.rows) return;
  // Every pass adds residual and branch again instead of reading the stored sum. The first pass brings both into L1,
  // whereas its stores may bypass L1.
  auto load_sum = [&](auto& x, int64_t c) {
    load(x, a.residual + n * a.cols + c);
    if (!a.branch) return;
    float y[width];
    load(y, a.branch + n * a.cols + c);
#pragma unroll
    for (int i = 0; i < width; ++i) x[i] = rounded<R>(x[i] + y[i]);
  };
  float total = 0.0f, squares = 0.0f;
  for_lane<width>(a.cols, [&](int64_t c) {
    float x[width];
    load_sum(x, c);
    if (a.branch) store(a.sum + n * a.cols + c, x);
#pragma unroll
    for (int i = 0; i < width; ++i) {
      total += x[i];
      squares += x[i] * x[i];
    }
  });
  float count = static_cast<float>(a.cols), mean = 0.0f;
  if (a.mean) {  // the variance about the mean needs a second pass
    mean = warp_sum(total) / count;
    squares = 0.0f;
    for_lane<width>(a.cols, [&](int64_t c) {
      float x[width];
      load_sum(x, c);
#pragma unroll
      for (int i = 0; i < width; ++i) squares += (x[i] - mean) * (x[i] - mean);
    });
  }
  float rstd = 1.0f / sqrtf(warp_sum(squares) / count + a.eps);
  if (threadIdx.x % warp_size == 0) {
    if (a.mean) a.mean[n] = mean;
    a.rstd[n] = rstd;
  }
  for_lane<width>(a.cols, [&](int64_t c) {
    float x[width], weight[width], bias[width] = {};
    load_sum(x, c);
    load(weight, a.weight + c);
    if (a.bias) load(bias, a.bias + c);
#pragma unroll
    for (int i = 0; i < width; ++i) x[i] = (x[i] - mean) * rstd * weight[i] + bias[i];
    store(a.out + n * a.cols + c, x);
  });
}

// partial_weight and partial_bias are fp32[blocks, cols]. mean is null for RMSNorm. Without a bias, partial_bias is
// null.
template <typename R, typename O, typename T>
struct BackwardArguments {
  R* d_residual;
  float *partial_weight, *partial_bias;
  const O* dout;
  const R* r;
  const T* weight;
  const float *mean, *rstd;
  int64_t rows, cols;
  bool accumulate;
};

// Each warp accumulates the parameter gradients of its rows in shared memory: [warps, cols] sums for the weight, then,
// with a bias, [warps, cols] sums for the bias. At the end the block adds up the sums of its warps.
template <typename R, typename O, typename T, int width>
__global__ void __launch_bounds__(block, backward_blocks) norm_backward_kernel(BackwardArguments<R, O, T> a) {
  DYN_SHARED(float, sums);
  int warp = threadIdx.x / warp_size, used_warps = blockDim.x / warp_size;
  float* d_weight = sums + warp * a.cols;
  float* d_bias = sums + (used_warps + warp) * a.cols;
  for_lane<width>(a.cols, [&](int64_t c) {
    for (int i = 0; i < width; ++i) {
      d_weight[c + i] = 0.0f;
      if (a.partial_bias) d_bias[c + i] = 0.0f;
    }
  });
  for (int64_t n = int64_t{blockIdx.x} * used_warps + warp; n < a.rows; n += int64_t{gridDim.x} * used_warps) {
    // All vectors that are kept in registers are loaded before the first of them is used. The sums in shared memory
    // limit occupancy, so each warp should keep many loads in flight.
    constexpr int most = kept<R>;
    Kept<O, width> douts[most];
    Kept<R, width> rs[most], befores[most] = {};
    const O* dout = a.dout + n * a.cols;
    const R *r = a.r + n * a.cols, *before = a.d_residual + n * a.cols;
    auto keep = [&](auto& packs, const auto* row) {
      for_kept<R, width>(a.cols, [&](int64_t c, auto i) {
        constexpr int at = decltype(i)::value;
        if constexpr (at < most) packs[at].take(row + c);
      });
    };
    keep(douts, dout);
    keep(rs, r);
    if (a.accumulate) keep(befores, before);
    auto load_either = [&](auto& to, const auto& packs, const auto* row, int64_t c, auto i) {
      constexpr int at = decltype(i)::value;
      if constexpr (at < most)
        packs[at].load(to);
      else
        load(to, row + c);
    };
    float mean = a.mean ? a.mean[n] : 0.0f, rstd = a.rstd[n], g_total = 0.0f, gx_total = 0.0f;
    for_kept<R, width>(a.cols, [&](int64_t c, auto which) {
      float d[width], x[width], weight[width], sum[width];
      load_either(d, douts, dout, c, which);
      load_either(x, rs, r, c, which);
      load(weight, a.weight + c);
      load(sum, d_weight + c);
#pragma unroll
      for (int i = 0; i < width; ++i) {
        x[i] = (x[i] - mean) * rstd;
        g_total += d[i] * weight[i];
        gx_total += d[i] * weight[i] * x[i];
        sum[i] += d[i] * x[i];
      }
      store(d_weight + c, sum);
      if (!a.partial_bias) return;
      load(sum, d_bias + c);
#pragma unroll
      for (int i = 0; i < width; ++i) sum[i] += d[i];
      store(d_bias + c, sum);
    });
    float g_mean = warp_sum(g_total) / static_cast<float>(a.cols);
    float gx_mean = warp_sum(gx_total) / static_cast<float>(a.cols);
    if (!a.mean) g_mean = 0.0f;
    for_kept<R, width>(a.cols, [&](int64_t c, auto which) {
      float d[width], x[width], weight[width], result[width] = {};
      load_either(d, douts, dout, c, which);
      load_either(x, rs, r, c, which);
      load(weight, a.weight + c);
      if (a.accumulate) load_either(result, befores, before, c, which);
#pragma unroll
      for (int i = 0; i < width; ++i) result[i] += rstd * (d[i] * weight[i] - g_mean - (x[i] - mean) * rstd * gx_mean);
      store(a.d_residual + n * a.cols + c, result);
    });
  }
  __syncthreads();
  for (int64_t c = threadIdx.x; c < a.cols; c += blockDim.x) {
    float weight = 0.0f, bias = 0.0f;
    for (int w = 0; w < used_warps; ++w) {
      weight += sums[w * a.cols + c];
      if (a.partial_bias) bias += sums[(used_warps + w) * a.cols + c];
    }
    a.partial_weight[blockIdx.x * a.cols + c] = weight;
    if (a.partial_bias) a.partial_bias[blockIdx.x * a.cols + c] = bias;
  }
}

}  // namespace

void CudaBackend::do_norm_forward(const NormForward& norm) {
  with_types(norm.residual.dtype, norm.out.dtype, norm.weight.dtype, [&](auto stream, auto result, auto type) {
    using R = decltype(stream);
    using O = decltype(result);
    using T = decltype(type);
    ForwardArguments<R, O, T> a{norm.out.as<O>(),
                                norm.sum.as<R>(),
                                norm.mean.as<float>(),
                                norm.rstd.as<float>(),
                                norm.residual.as<R>(),
                                norm.branch.as<T>(),
                                norm.weight.as<T>(),
                                norm.bias.as<T>(),
                                norm.residual.rows(),
                                norm.residual.cols(),
                                norm.eps};
    with_width(vector_width({a.out, a.sum, a.residual, a.branch, a.weight, a.bias}, a.cols), [&](auto w) {
      launch(norm_forward_kernel<R, O, T, decltype(w)::value>, unsigned(ceil_div(a.rows, warps)), block, 0, a);
    });
  });
}

void CudaBackend::do_norm_backward(const NormBackward& norm) {
  int64_t sums = norm.d_bias.empty() ? 1 : 2, cols = norm.r.cols();
  // If rows are wide, shared memory has room for the sums of fewer warps.
  int64_t used_warps = std::min<int64_t>(warps, shared_limit_ / (sums * cols * int64_t{sizeof(float)}));
  if (used_warps == 0)
    fail("norm_backward: r: found {}, expected at most {} columns", norm.r.describe(), limits().norm_width);
  int64_t blocks = std::min<int64_t>(ceil_div(norm.r.rows(), used_warps), multiprocessors_ * backward_blocks);
  float* partial = workspace<float>(2 * blocks * cols);
  with_types(norm.r.dtype, norm.dout.dtype, norm.weight.dtype, [&](auto stream, auto result, auto type) {
    using R = decltype(stream);
    using O = decltype(result);
    using T = decltype(type);
    BackwardArguments<R, O, T> a{norm.d_residual.as<R>(),
                                 partial,
                                 norm.d_bias.empty() ? nullptr : partial + blocks * cols,
                                 norm.dout.as<O>(),
                                 norm.r.as<R>(),
                                 norm.weight.as<T>(),
                                 norm.mean.as<float>(),
                                 norm.rstd.as<float>(),
                                 norm.r.rows(),
                                 cols,
                                 norm.accumulate};
    with_width(vector_width({a.d_residual, a.dout, a.r, a.weight}, cols), [&](auto w) {
      launch(norm_backward_kernel<R, O, T, decltype(w)::value>, unsigned(blocks), unsigned(used_warps * warp_size),
             static_cast<size_t>(used_warps * sums * cols) * sizeof(float), a);
    });
  });
  sum_partials(norm.d_weight, partial, blocks, true);
  if (!norm.d_bias.empty()) sum_partials(norm.d_bias, partial + blocks * cols, blocks, true);
}

}  // namespace rowan
