// Residual add fused with RMSNorm or LayerNorm, forward and backward, one row at a time in cache. Reads and writes for
// each value: forward with a branch 4 (reads residual and branch, writes sum and output), backward with `accumulate` 4
// (reads dout, r and d_residual, writes d_residual). Lower bound on the time: this traffic at the rate of a copy.
#include <algorithm>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector.h"

namespace rowan {
namespace {

// Calls f(R{}, O{}, T{}), where R is the element type of the residual stream, O is the element type of the norm's
// output, and T is the element type of weights and branch.
template <typename F>
void with_types(DType stream, DType out, DType weight, F&& f) {
  if (stream == weight)
    cpu::with_dtype(weight, [&](auto type) { f(type, type, type); });
  else if (out == weight)
    f(float{}, bf16{}, bf16{});
  else
    f(float{}, float{}, bf16{});
}

template <typename R, typename T>
void add_branch(R* sum, const R* residual, const T* branch, int64_t width) {
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) cpu::store(sum[i], cpu::load(residual[i]) + cpu::load(branch[i]));
}

template <typename R>
float mean_of(const R* r, int64_t width) {
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < width; ++i) total += cpu::load(r[i]);
  return total / static_cast<float>(width);
}

// The mean of (r - mean)^2.
template <typename R>
float spread_of(const R* r, float mean, int64_t width) {
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < width; ++i) {
    float centred = cpu::load(r[i]) - mean;
    total += centred * centred;
  }
  return total / static_cast<float>(width);
}

template <typename O, typename R, typename T>
void normalize_row(O* out, const R* r, const T* weight, const T* bias, float mean, float rstd, int64_t width) {
  if (bias) {
#pragma omp simd
    for (int64_t i = 0; i < width; ++i)
      cpu::store(out[i], (cpu::load(r[i]) - mean) * rstd * cpu::load(weight[i]) + cpu::load(bias[i]));
  } else {
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) cpu::store(out[i], (cpu::load(r[i]) - mean) * rstd * cpu::load(weight[i]));
  }
}

struct Moments {
  float g, gx;  // means of g = dout * weight and of g * x
};

// Adds one row's contribution to the gradients of weight and bias. Returns the Moments, where x is the normalized row.
template <typename O, typename R, typename T>
Moments parameter_gradients(float* d_weight, float* d_bias, const O* dout, const R* r, const T* weight, float mean,
                            float rstd, int64_t width) {
  float g_total = 0, gx_total = 0;
#pragma omp simd reduction(+ : g_total, gx_total)
  for (int64_t i = 0; i < width; ++i) {
    float x = (cpu::load(r[i]) - mean) * rstd, d = cpu::load(dout[i]), g = d * cpu::load(weight[i]);
    g_total += g;
    gx_total += g * x;
    d_weight[i] += d * x;
    d_bias[i] += d;
  }
  return {g_total / static_cast<float>(width), gx_total / static_cast<float>(width)};
}

template <typename R, typename O, typename T>
void input_gradient(R* d_residual, const O* dout, const R* r, const T* weight, float mean, float rstd, float g_mean,
                    float gx_mean, bool accumulate, int64_t width) {
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) {
    float x = (cpu::load(r[i]) - mean) * rstd, g = cpu::load(dout[i]) * cpu::load(weight[i]);
    float before = accumulate ? cpu::load(d_residual[i]) : 0.0f;
    cpu::store(d_residual[i], before + rstd * (g - g_mean - x * gx_mean));
  }
}

// to += the sum of `count` rows of `partial`, which are `stride` floats apart.
void add_partials(Tensor to, const float* partial, int64_t count, int64_t stride, ThreadPool& threads) {
  cpu::with_dtype(to.dtype, [&](auto type) {
    auto* values = to.as<decltype(type)>();
    cpu::parallel_ranges(threads, to.numel(), 256, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        float total = 0;
        for (int64_t p = 0; p < count; ++p) total += partial[p * stride + i];
        cpu::store(values[i], cpu::load(values[i]) + total);
      }
    });
  });
}

}  // namespace

void CpuBackend::do_norm_forward(const NormForward& norm) {
  int64_t width = norm.residual.cols();
  with_types(norm.residual.dtype, norm.out.dtype, norm.weight.dtype, [&](auto stream, auto result, auto type) {
    using R = decltype(stream);
    using O = decltype(result);
    using T = decltype(type);
    cpu::parallel_ranges(threads_, norm.residual.rows(), cpu::rows_per_piece(width), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        const R* row = norm.residual.as<R>() + n * width;
        if (!norm.branch.empty()) {
          R* total = norm.sum.as<R>() + n * width;
          add_branch(total, row, norm.branch.as<T>() + n * width, width);
          row = total;
        }
        float centre = norm.kind == Norm::layer ? mean_of(row, width) : 0.0f;
        float scale = 1.0f / std::sqrt(spread_of(row, centre, width) + norm.eps);
        if (norm.kind == Norm::layer) norm.mean.as<float>()[n] = centre;
        norm.rstd.as<float>()[n] = scale;
        normalize_row(norm.out.as<O>() + n * width, row, norm.weight.as<T>(), norm.bias.as<T>(), centre, scale, width);
      }
    });
  });
}

void CpuBackend::do_norm_backward(const NormBackward& norm) {
  constexpr int64_t pieces = 32;  // fixed, so that the order of summation does not depend on the number of threads
  int64_t rows = norm.r.rows(), width = norm.r.cols(), stride = 2 * width;
  int64_t grain = std::max<int64_t>(1, (rows + pieces - 1) / pieces), used = (rows + grain - 1) / grain;
  float* partial = scratch_.take(used * stride);
  with_types(norm.r.dtype, norm.dout.dtype, norm.weight.dtype, [&](auto stream, auto result, auto type) {
    using R = decltype(stream);
    using O = decltype(result);
    using T = decltype(type);
    cpu::parallel_ranges(threads_, rows, grain, [&](int64_t begin, int64_t end) {
      float* gradients = partial + begin / grain * stride;
      std::fill(gradients, gradients + stride, 0.0f);
      for (int64_t n = begin; n < end; ++n) {
        const O* d = norm.dout.as<O>() + n * width;
        const R* x = norm.r.as<R>() + n * width;
        float centre = norm.kind == Norm::layer ? norm.mean.as<float>()[n] : 0.0f, scale = norm.rstd.as<float>()[n];
        Moments m = parameter_gradients(gradients, gradients + width, d, x, norm.weight.as<T>(), centre, scale, width);
        input_gradient(norm.d_residual.as<R>() + n * width, d, x, norm.weight.as<T>(), centre, scale,
                       norm.kind == Norm::layer ? m.g : 0.0f, m.gx, norm.accumulate, width);
      }
    });
  });
  add_partials(norm.d_weight, partial, used, stride, threads_);
  if (!norm.d_bias.empty()) add_partials(norm.d_bias, partial + width, used, stride, threads_);
}

}  // namespace rowan
