#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector.h"

namespace rowan {
namespace {

constexpr int64_t piece = 16384;
// gelu_tanh(x) = x (1 + tanh(u)) / 2 = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
constexpr float two_root = 1.59576912f, cubic = 0.044715f;

inline float gelu_tanh(float x) { return x * cpu::sigmoid(two_root * (x + cubic * x * x * x)); }

inline float gelu_tanh_slope(float x) {
  float s = cpu::sigmoid(two_root * (x + cubic * x * x * x));
  return s + x * s * (1.0f - s) * two_root * (1.0f + 3.0f * cubic * x * x);
}

inline float gelu_erf(float x) {
  float density;
  return x * cpu::normal_cdf(x, density);
}

inline float gelu_erf_slope(float x) {
  float density, cdf = cpu::normal_cdf(x, density);
  return cdf + x * density;
}

template <typename T, typename F>
void map(Tensor out, Tensor in, ThreadPool& threads, F&& fn) {
  T *to = out.as<T>(), *from = in.as<T>();
  cpu::parallel_ranges(threads, in.numel(), piece, [&](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) cpu::store(to[i], fn(cpu::load(from[i])));
  });
}

template <typename T, typename F>
void map_gradient(Tensor din, Tensor dout, Tensor in, ThreadPool& threads, F&& slope) {
  T *to = din.as<T>(), *gradient = dout.as<T>(), *x = in.as<T>();
  cpu::parallel_ranges(threads, in.numel(), piece, [&](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) cpu::store(to[i], cpu::load(gradient[i]) * slope(cpu::load(x[i])));
  });
}

}  // namespace

void CpuBackend::do_swiglu_forward(Tensor out, Tensor gate_up) {
  int64_t width = out.cols();
  cpu::with_dtype(out.dtype, [&](auto type) {
    using T = decltype(type);
    cpu::parallel_ranges(threads_, out.rows(), cpu::rows_per_piece(width), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        const T *gate = gate_up.as<T>() + n * 2 * width, *up = gate + width;
        T* to = out.as<T>() + n * width;
#pragma omp simd
        for (int64_t i = 0; i < width; ++i) {
          float g = cpu::load(gate[i]);
          cpu::store(to[i], g * cpu::sigmoid(g) * cpu::load(up[i]));
        }
      }
    });
  });
}

void CpuBackend::do_swiglu_backward(Tensor d_gate_up, Tensor dout, Tensor gate_up) {
  int64_t width = dout.cols();
  cpu::with_dtype(dout.dtype, [&](auto type) {
    using T = decltype(type);
    cpu::parallel_ranges(threads_, dout.rows(), cpu::rows_per_piece(width), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        const T *gate = gate_up.as<T>() + n * 2 * width, *up = gate + width, *gradient = dout.as<T>() + n * width;
        T *d_gate = d_gate_up.as<T>() + n * 2 * width, *d_up = d_gate + width;
#pragma omp simd
        for (int64_t i = 0; i < width; ++i) {
          float g = cpu::load(gate[i]), u = cpu::load(up[i]), d = cpu::load(gradient[i]), s = cpu::sigmoid(g);
          cpu::store(d_gate[i], d * u * s * (1.0f + g * (1.0f - s)));
          cpu::store(d_up[i], d * g * s);
        }
      }
    });
  });
}

void CpuBackend::do_gelu_forward(Gelu kind, Tensor out, Tensor in) {
  cpu::with_dtype(in.dtype, [&](auto type) {
    using T = decltype(type);
    if (kind == Gelu::tanh)
      map<T>(out, in, threads_, [](float x) { return gelu_tanh(x); });
    else
      map<T>(out, in, threads_, [](float x) { return gelu_erf(x); });
  });
}

void CpuBackend::do_gelu_backward(Gelu kind, Tensor din, Tensor dout, Tensor in) {
  cpu::with_dtype(in.dtype, [&](auto type) {
    using T = decltype(type);
    if (kind == Gelu::tanh)
      map_gradient<T>(din, dout, in, threads_, [](float x) { return gelu_tanh_slope(x); });
    else
      map_gradient<T>(din, dout, in, threads_, [](float x) { return gelu_erf_slope(x); });
  });
}

}  // namespace rowan
