// scale, add, lerp, clamp and swap_axes, each in one pass over the elements. Lower bound on time: reading each operand
// once and writing the result once, at the bandwidth of a copy.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/vector.cuh"

namespace rowan {
namespace {

using namespace cuda;

constexpr int block = 256;

template <typename T, int width>
__global__ void scale_kernel(T* x, float factor, int64_t count) {
  for_elements<width>(count, [&](int64_t i, auto w) {
    float values[decltype(w)::value];
    load(values, x + i);
    for (float& value : values) value *= factor;
    store(x + i, values);
  });
}

template <typename Y, typename X, int width>
__global__ void add_kernel(Y* y, const X* x, int64_t count) {
  for_elements<width>(count, [&](int64_t i, auto w) {
    constexpr int n = decltype(w)::value;
    float sums[n], values[n];
    load(sums, y + i);
    load(values, x + i);
#pragma unroll
    for (int j = 0; j < n; ++j) sums[j] += values[j];
    store(y + i, sums);
  });
}

template <typename X, int width>
__global__ void lerp_kernel(float* y, const X* x, float weight, int64_t count) {
  for_elements<width>(count, [&](int64_t i, auto w) {
    constexpr int n = decltype(w)::value;
    float values[n], towards[n];
    load(values, y + i);
    load(towards, x + i);
#pragma unroll
    for (int j = 0; j < n; ++j) values[j] += weight * (towards[j] - values[j]);
    store(y + i, values);
  });
}

// to[b, a, c] = from[a, b, c], in words of 2, 4 or 16 bytes.
template <typename Word>
__global__ void swap_axes_kernel(Word* to, const Word* from, int64_t a, int64_t b, int64_t c) {
  for (int64_t i = thread_index(); i < a * b * c; i += thread_count()) {
    int64_t line = i / c;
    to[i] = from[(line % a * b + line / a) * c + i % c];
  }
}

// Comparisons keep a NaN; fminf and fmaxf would replace it by the limit.
template <typename T>
__global__ void clamp_forward_kernel(T* x, int64_t rows, int64_t cols, int64_t begin, int64_t end, float limit) {
  for (int64_t i = thread_index(); i < rows * (end - begin); i += thread_count()) {
    T* at = x + i / (end - begin) * cols + begin + i % (end - begin);
    float value = to_float(*at);
    value = value > limit ? limit : value;
    *at = from_float<T>(value < -limit ? -limit : value);
  }
}

// x holds clamped values that were rounded to T, so the limit is rounded to T before the comparison.
template <typename T>
__global__ void clamp_backward_kernel(T* dx, const T* x, int64_t rows, int64_t cols, int64_t begin, int64_t end,
                                      float limit) {
  for (int64_t i = thread_index(); i < rows * (end - begin); i += thread_count()) {
    int64_t at = i / (end - begin) * cols + begin + i % (end - begin);
    if (fabsf(to_float(x[at])) >= rounded<T>(limit)) dx[at] = from_float<T>(0.0f);
  }
}

}  // namespace

void CudaBackend::do_scale(Tensor x, float factor) {
  with_dtype(x.dtype, [&](auto type) {
    using T = decltype(type);
    with_width(vector_width({x.data}), [&](auto w) {
      constexpr int width = decltype(w)::value;
      launch(scale_kernel<T, width>, grid_for(ceil_div(x.numel(), width), block), block, 0, x.as<T>(), factor,
             x.numel());
    });
  });
}

void CudaBackend::do_add(Tensor y, Tensor x) {
  with_dtype(y.dtype, [&](auto to) {
    with_dtype(x.dtype, [&](auto from) {
      using Y = decltype(to);
      using X = decltype(from);
      with_width(vector_width({y.data, x.data}), [&](auto w) {
        constexpr int width = decltype(w)::value;
        launch(add_kernel<Y, X, width>, grid_for(ceil_div(y.numel(), width), block), block, 0, y.as<Y>(), x.as<X>(),
               y.numel());
      });
    });
  });
}

void CudaBackend::do_lerp(Tensor y, Tensor x, float weight) {
  with_dtype(x.dtype, [&](auto from) {
    using X = decltype(from);
    with_width(vector_width({y.data, x.data}), [&](auto w) {
      constexpr int width = decltype(w)::value;
      launch(lerp_kernel<X, width>, grid_for(ceil_div(y.numel(), width), block), block, 0, y.as<float>(), x.as<X>(),
             weight, y.numel());
    });
  });
}

void CudaBackend::do_swap_axes(Tensor to, Tensor from) {
  auto swap = [&](auto word) {
    using Word = decltype(word);
    int64_t a = from.dim(0), b = from.dim(1), c = from.dim(2) * int64_t(size_of(from.dtype)) / int64_t(sizeof(Word));
    launch(swap_axes_kernel<Word>, grid_for(a * b * c, block), block, 0, to.as<Word>(), from.as<Word>(), a, b, c);
  };
  if (vector_width({to.data, from.data}, from.dim(2)) > 1)
    swap(Pack<bfloat16, vector_elements>());
  else if (from.dtype == DType::bf16)
    swap(bfloat16());
  else
    swap(int32_t());
}

void CudaBackend::do_clamp_forward(Tensor x, int64_t begin, int64_t end, float limit) {
  with_dtype(x.dtype, [&](auto type) {
    using T = decltype(type);
    launch(clamp_forward_kernel<T>, grid_for(x.rows() * (end - begin), block), block, 0, x.as<T>(), x.rows(), x.cols(),
           begin, end, limit);
  });
}

void CudaBackend::do_clamp_backward(Tensor dx, Tensor x, int64_t begin, int64_t end, float limit) {
  with_dtype(x.dtype, [&](auto type) {
    using T = decltype(type);
    launch(clamp_backward_kernel<T>, grid_for(x.rows() * (end - begin), block), block, 0, dx.as<T>(), x.as<T>(),
           x.rows(), x.cols(), begin, end, limit);
  });
}

}  // namespace rowan
