// RMSNorm of query and key heads. For a head x let rstd = 1 / sqrt(mean(x^2) + eps), n = x rstd and g = dout * weight;
// then dx = rstd (g - n mean(g n)) and d_weight += dout n. Reads and writes for each value of x: forward 2, backward 3.
// Lower bound on the time: this traffic at the rate of a copy.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector.h"

namespace rowan {
namespace {

template <typename T>
float rstd_of(const T* x, int64_t width, float eps) {
  float total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < width; ++i) total += cpu::load(x[i]) * cpu::load(x[i]);
  return 1.0f / std::sqrt(total / static_cast<float>(width) + eps);
}

// Replaces d, the gradient of the head's output, by the gradient of x. Adds to d_weight. d_weight and weight are null
// if there is no weight.
template <typename T>
void head_backward(T* d, float* d_weight, const T* x, const T* weight, int64_t width, float eps) {
  const float rstd = rstd_of(x, width, eps);
  float total = 0;
  if (weight) {
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < width; ++i) {
      const float gn = cpu::load(d[i]) * cpu::load(x[i]) * rstd;
      d_weight[i] += gn;
      total += gn * cpu::load(weight[i]);
    }
  } else {
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < width; ++i) total += cpu::load(d[i]) * cpu::load(x[i]) * rstd;
  }
  const float mean = total / static_cast<float>(width);
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) {
    const float g = cpu::load(d[i]) * (weight ? cpu::load(weight[i]) : 1.0f);
    cpu::store(d[i], rstd * (g - cpu::load(x[i]) * rstd * mean));
  }
}

}  // namespace

void CpuBackend::do_head_norm_forward(Tensor out, Tensor in, Tensor weight, const AttentionShape& shape, float eps) {
  const int64_t row = shape.qkv_width(), width = shape.head_dim, normed = shape.heads + shape.kv_heads;
  cpu::with_dtype(in.dtype, [&](auto type) {
    using T = decltype(type);
    cpu::parallel_ranges(threads_, shape.tokens(), cpu::rows_per_piece(row), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        const T* from = in.as<T>() + n * row;
        T* to = out.as<T>() + n * row;
        for (int64_t h = 0; h < normed; ++h, from += width, to += width) {
          const T* gain = weight.empty() ? nullptr : weight.as<T>() + (h < shape.heads ? 0 : width);
          const float rstd = rstd_of(from, width, eps);
#pragma omp simd
          for (int64_t i = 0; i < width; ++i)
            cpu::store(to[i], cpu::load(from[i]) * rstd * (gain ? cpu::load(gain[i]) : 1.0f));
        }
        std::copy(from, from + shape.kv_heads * width, to);
      }
    });
  });
}

void CpuBackend::do_head_norm_backward(Tensor dqkv, Tensor d_weight, Tensor in, Tensor weight,
                                       const AttentionShape& shape, float eps) {
  constexpr int64_t pieces = 32;  // fixed, so that the order of summation does not depend on the number of threads
  const int64_t row = shape.qkv_width(), width = shape.head_dim, normed = shape.heads + shape.kv_heads,
                rows = shape.tokens(), grain = std::max<int64_t>(1, (rows + pieces - 1) / pieces),
                used = (rows + grain - 1) / grain;
  float* partial = weight.empty() ? nullptr : scratch_.take(used * 2 * width);
  if (partial) std::fill(partial, partial + used * 2 * width, 0.0f);
  cpu::with_dtype(in.dtype, [&](auto type) {
    using T = decltype(type);
    cpu::parallel_ranges(threads_, rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n)
        for (int64_t h = 0; h < normed; ++h) {
          const int64_t at = n * row + h * width, gain = h < shape.heads ? 0 : width;
          head_backward(dqkv.as<T>() + at, partial ? partial + begin / grain * 2 * width + gain : nullptr,
                        in.as<T>() + at, partial ? weight.as<T>() + gain : nullptr, width, eps);
        }
    });
  });
  if (!partial) return;
  cpu::with_dtype(d_weight.dtype, [&](auto type) {
    auto* to = d_weight.as<decltype(type)>();
    for (int64_t i = 0; i < 2 * width; ++i) {
      float total = 0;
      for (int64_t p = 0; p < used; ++p) total += partial[p * 2 * width + i];
      cpu::store(to[i], cpu::load(to[i]) + total);
    }
  });
}

}  // namespace rowan
