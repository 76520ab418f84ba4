// SwiGLU and GELU.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/vector.cuh"

namespace rowan {
namespace {

using namespace cuda;

constexpr int block = 256;

template <typename T, int width>
__global__ void swiglu_forward_kernel(T* out, const T* gate_up, int64_t rows, int64_t cols) {
  int64_t vectors = cols / width;
  for (int64_t i = thread_index(); i < rows * vectors; i += thread_count()) {
    int64_t n = i / vectors, column = i % vectors * width;
    float gate[width], up[width];
    load(gate, gate_up + n * 2 * cols + column);
    load(up, gate_up + n * 2 * cols + cols + column);
#pragma unroll
    for (int j = 0; j < width; ++j) up[j] *= gate[j] * sigmoid<T>(gate[j]);
    store(out + n * cols + column, up);
  }
}

template <typename T, int width>
__global__ void swiglu_backward_kernel(T* d_gate_up, const T* dout, const T* gate_up, int64_t rows, int64_t cols) {
  int64_t vectors = cols / width;
  for (int64_t i = thread_index(); i < rows * vectors; i += thread_count()) {
    int64_t n = i / vectors, column = i % vectors * width, at = n * 2 * cols + column;
    float gate[width], up[width], d[width];
    load(gate, gate_up + at);
    load(up, gate_up + at + cols);
    load(d, dout + n * cols + column);
#pragma unroll
    for (int j = 0; j < width; ++j) {
      float s = sigmoid<T>(gate[j]), g = gate[j];
      gate[j] = d[j] * up[j] * s * (1.0f + g * (1.0f - s));
      up[j] = d[j] * g * s;
    }
    store(d_gate_up + at, gate);
    store(d_gate_up + at + cols, up);
  }
}

constexpr float root_two_over_pi = 0.7978845608028654f, cubic = 0.044715f, root_half = 0.7071067811865476f,
                density_at_zero = 0.3989422804014327f;

// (1 + tanh u) / 2 = sigmoid(2 u) and (1 + erf u) / 2 = erfc(-u) / 2, which do not cancel far below zero.
template <Gelu kind, typename T>
__device__ __forceinline__ float gate_of(float x) {
  if constexpr (kind == Gelu::tanh)
    return sigmoid<T>(2.0f * root_two_over_pi * (x + cubic * x * x * x));
  else
    return 0.5f * erfcf(-root_half * x);
}

template <Gelu kind, typename T>
__device__ __forceinline__ float gelu_derivative(float x) {
  float gate = gate_of<kind, T>(x);
  if constexpr (kind == Gelu::tanh)
    return gate + 2.0f * x * gate * (1.0f - gate) * root_two_over_pi * (1.0f + 3.0f * cubic * x * x);
  else
    return gate + x * density_at_zero * exponential<T>(-0.5f * x * x);
}

template <Gelu kind, typename T, int width>
__global__ void gelu_forward_kernel(T* out, const T* in, int64_t count) {
  for_elements<width>(count, [&](int64_t i, auto w) {
    float values[decltype(w)::value];
    load(values, in + i);
    for (float& x : values) x *= gate_of<kind, T>(x);
    store(out + i, values);
  });
}

template <Gelu kind, typename T, int width>
__global__ void gelu_backward_kernel(T* din, const T* dout, const T* in, int64_t count) {
  for_elements<width>(count, [&](int64_t i, auto w) {
    constexpr int n = decltype(w)::value;
    float d[n], x[n];
    load(d, dout + i);
    load(x, in + i);
#pragma unroll
    for (int j = 0; j < n; ++j) d[j] *= gelu_derivative<kind, T>(x[j]);
    store(din + i, d);
  });
}

template <typename F>
void with_gelu(Gelu kind, F f) {
  if (kind == Gelu::tanh)
    f(std::integral_constant<Gelu, Gelu::tanh>());
  else
    f(std::integral_constant<Gelu, Gelu::erf>());
}

}  // namespace

void CudaBackend::do_swiglu_forward(Tensor out, Tensor gate_up) {
  with_dtype(out.dtype, [&](auto type) {
    using T = decltype(type);
    with_width(vector_width({out.data, gate_up.data}, out.cols()), [&](auto w) {
      constexpr int width = decltype(w)::value;
      launch(swiglu_forward_kernel<T, width>, grid_for(out.numel() / width, block), block, 0, out.as<T>(),
             gate_up.as<T>(), out.rows(), out.cols());
    });
  });
}

void CudaBackend::do_swiglu_backward(Tensor d_gate_up, Tensor dout, Tensor gate_up) {
  with_dtype(dout.dtype, [&](auto type) {
    using T = decltype(type);
    with_width(vector_width({d_gate_up.data, dout.data, gate_up.data}, dout.cols()), [&](auto w) {
      constexpr int width = decltype(w)::value;
      launch(swiglu_backward_kernel<T, width>, grid_for(dout.numel() / width, block), block, 0, d_gate_up.as<T>(),
             dout.as<T>(), gate_up.as<T>(), dout.rows(), dout.cols());
    });
  });
}

void CudaBackend::do_gelu_forward(Gelu kind, Tensor out, Tensor in) {
  with_dtype(in.dtype, [&](auto type) {
    using T = decltype(type);
    with_width(vector_width({out.data, in.data}), [&](auto w) {
      constexpr int width = decltype(w)::value;
      with_gelu(kind, [&](auto k) {
        launch(gelu_forward_kernel<decltype(k)::value, T, width>, grid_for(ceil_div(in.numel(), width), block), block,
               0, out.as<T>(), in.as<T>(), in.numel());
      });
    });
  });
}

void CudaBackend::do_gelu_backward(Gelu kind, Tensor din, Tensor dout, Tensor in) {
  with_dtype(in.dtype, [&](auto type) {
    using T = decltype(type);
    with_width(vector_width({din.data, dout.data, in.data}), [&](auto w) {
      constexpr int width = decltype(w)::value;
      with_gelu(kind, [&](auto k) {
        launch(gelu_backward_kernel<decltype(k)::value, T, width>, grid_for(ceil_div(in.numel(), width), block), block,
               0, din.as<T>(), dout.as<T>(), in.as<T>(), in.numel());
      });
    });
  });
}

}  // namespace rowan
