// Activation functions, gated and plain. Values read and written for each value of `out` or `dout`: gated forward 3,
// gated backward 5, plain forward 2, plain backward 3. A value has 4 bytes in fp32, 2 in bf16. Lower bound on the time:
// this traffic at the rate of a copy. What was tried:
// 1. Prefetching the next row in the gated loops, in the order of its addresses, every 128 elements. On Zen 4 with one
// thread and rows that are not in cache, the forward is 1.9 to 2.6 times as fast for rows of 352, and 1.1 to 1.3 times
// for rows of 3072.
// 2. Prefetching whole rows at once. Rows of 1536 and more became slower than without a prefetch.
#include <algorithm>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector.h"

namespace rowan {
namespace {

constexpr int64_t piece = 16384;
constexpr int64_t ahead = 128;  // elements between two prefetches of the next row
// gelu_tanh(x) = x (1 + tanh(u)) / 2 = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
constexpr float two_root = 1.59576912f, cubic = 0.044715f;

struct Silu {
  static float value(float x) { return x * cpu::sigmoid(x); }
  static float slope(float x) {
    float s = cpu::sigmoid(x);
    return s * (1.0f + x * (1.0f - s));
  }
};

struct GeluTanh {
  static float value(float x) { return x * cpu::sigmoid(two_root * (x + cubic * x * x * x)); }
  static float slope(float x) {
    float s = cpu::sigmoid(two_root * (x + cubic * x * x * x));
    return s + x * s * (1.0f - s) * two_root * (1.0f + 3.0f * cubic * x * x);
  }
};

struct GeluErf {
  static float value(float x) {
    float density;
    return x * cpu::normal_cdf(x, density);
  }
  static float slope(float x) {
    float density, cdf = cpu::normal_cdf(x, density);
    return cdf + x * density;
  }
};

struct ReluSquared {
  static float positive(float x) { return x < 0.0f ? 0.0f : x; }  // keeps NaN
  static float value(float x) { return positive(x) * positive(x); }
  static float slope(float x) { return 2.0f * positive(x); }
};

// Calls f(float{}, act) or f(bf16{}, act), where act is an object of the struct for `kind`.
template <typename F>
void with_activation(DType dtype, Activation kind, F&& f) {
  cpu::with_dtype(dtype, [&](auto type) {
    switch (kind) {
      case Activation::silu:
        return f(type, Silu());
      case Activation::gelu_tanh:
        return f(type, GeluTanh());
      case Activation::gelu_erf:
        return f(type, GeluErf());
      case Activation::relu_squared:
        return f(type, ReluSquared());
    }
  });
}

}  // namespace

void CpuBackend::do_gated_forward(Activation kind, Tensor out, Tensor gate_up) {
  int64_t width = out.cols();
  with_activation(out.dtype, kind, [&](auto type, auto act) {
    using T = decltype(type);
    cpu::parallel_ranges(threads_, out.rows(), cpu::rows_per_piece(width), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        const T *gate = gate_up.as<T>() + n * 2 * width, *up = gate + width;
        T* to = out.as<T>() + n * width;
        for (int64_t first = 0; first < width; first += ahead) {
          const int64_t last = std::min(width, first + ahead);
          cpu::prefetch(gate + 2 * (width + first), 2 * (last - first) * sizeof(T));
#pragma omp simd
          for (int64_t i = first; i < last; ++i) cpu::store(to[i], act.value(cpu::load(gate[i])) * cpu::load(up[i]));
        }
      }
    });
  });
}

void CpuBackend::do_gated_backward(Activation kind, Tensor d_gate_up, Tensor dout, Tensor gate_up) {
  int64_t width = dout.cols();
  with_activation(dout.dtype, kind, [&](auto type, auto act) {
    using T = decltype(type);
    cpu::parallel_ranges(threads_, dout.rows(), cpu::rows_per_piece(width), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        const T *gate = gate_up.as<T>() + n * 2 * width, *up = gate + width, *gradient = dout.as<T>() + n * width;
        T *d_gate = d_gate_up.as<T>() + n * 2 * width, *d_up = d_gate + width;
        for (int64_t first = 0; first < width; first += ahead) {
          const int64_t last = std::min(width, first + ahead);
          cpu::prefetch(gate + 2 * (width + first), 2 * (last - first) * sizeof(T));
          cpu::prefetch(gradient + width + first, (last - first) * sizeof(T));
#pragma omp simd
          for (int64_t i = first; i < last; ++i) {
            float g = cpu::load(gate[i]), u = cpu::load(up[i]), d = cpu::load(gradient[i]);
            cpu::store(d_gate[i], d * u * act.slope(g));
            cpu::store(d_up[i], d * act.value(g));
          }
        }
      }
    });
  });
}

void CpuBackend::do_activation_forward(Activation kind, Tensor out, Tensor in) {
  with_activation(in.dtype, kind, [&](auto type, auto act) {
    using T = decltype(type);
    T *to = out.as<T>(), *from = in.as<T>();
    cpu::parallel_ranges(threads_, in.numel(), piece, [&](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) cpu::store(to[i], act.value(cpu::load(from[i])));
    });
  });
}

void CpuBackend::do_activation_backward(Activation kind, Tensor din, Tensor dout, Tensor in) {
  with_activation(in.dtype, kind, [&](auto type, auto act) {
    using T = decltype(type);
    T *to = din.as<T>(), *gradient = dout.as<T>(), *x = in.as<T>();
    cpu::parallel_ranges(threads_, in.numel(), piece, [&](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) cpu::store(to[i], cpu::load(gradient[i]) * act.slope(cpu::load(x[i])));
    });
  });
}

}  // namespace rowan
