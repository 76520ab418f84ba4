// Scale, add, lerp, clamp, sums and swap_axes. Sums add up pieces of a fixed size in double precision, so that equal
// inputs give equal bits with any number of threads. Lower bound on the time: reading each operand once and writing the
// result once, at the rate of a copy.
#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/optimizer_pieces.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector.h"

namespace rowan {
namespace {

constexpr int64_t piece = 32768;

template <typename T>
double sum_of_squares(const T* x, int64_t count) {
  double total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < count; ++i) {
    double value = cpu::load(x[i]);
    total += value * value;
  }
  return total;
}

}  // namespace

void CpuBackend::do_scale(Tensor x, float factor) {
  cpu::with_dtype(x.dtype, [&](auto type) {
    auto* values = x.as<decltype(type)>();
    cpu::parallel_ranges(threads_, x.numel(), piece, [&](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) cpu::store(values[i], cpu::load(values[i]) * factor);
    });
  });
}

void CpuBackend::do_add(Tensor y, Tensor x) {
  cpu::with_dtype(y.dtype, [&](auto to) {
    cpu::with_dtype(x.dtype, [&](auto from) {
      auto* sums = y.as<decltype(to)>();
      auto* values = x.as<decltype(from)>();
      cpu::parallel_ranges(threads_, y.numel(), piece, [&](int64_t begin, int64_t end) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) cpu::store(sums[i], cpu::load(sums[i]) + cpu::load(values[i]));
      });
    });
  });
}

void CpuBackend::do_lerp(Tensor y, Tensor x, float weight) {
  cpu::with_dtype(x.dtype, [&](auto from) {
    float* values = y.as<float>();
    auto* towards = x.as<decltype(from)>();
    cpu::parallel_ranges(threads_, y.numel(), piece, [&](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) values[i] += weight * (cpu::load(towards[i]) - values[i]);
    });
  });
}

void CpuBackend::do_swap_axes(Tensor to, Tensor from) {
  const int64_t a = from.dim(0), b = from.dim(1), c = from.dim(2);
  const size_t bytes = static_cast<size_t>(c) * size_of(from.dtype);  // bytes of a line of c contiguous elements
  cpu::parallel_ranges(threads_, a * b, std::max<int64_t>(1, piece / c), [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line)
      std::memcpy(static_cast<char*>(to.data) + static_cast<size_t>(line) * bytes,
                  static_cast<const char*>(from.data) + static_cast<size_t>(line % a * b + line / a) * bytes, bytes);
  });
}

void CpuBackend::do_clamp_forward(Tensor x, int64_t begin, int64_t end, float limit) {
  cpu::with_dtype(x.dtype, [&](auto type) {
    cpu::parallel_for(threads_, x.rows(), [&](int64_t n) {
      auto* row = x.as<decltype(type)>() + n * x.cols();
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) {
        float value = cpu::load(row[i]);
        value = value > limit ? limit : value;
        cpu::store(row[i], value < -limit ? -limit : value);
      }
    });
  });
}

void CpuBackend::do_clamp_backward(Tensor dx, Tensor x, int64_t begin, int64_t end, float limit) {
  cpu::with_dtype(x.dtype, [&](auto type) {
    // The clamped values were rounded to their dtype, so the limit is rounded before the comparison.
    decltype(type) rounded;
    cpu::store(rounded, limit);
    float bound = cpu::load(rounded);
    cpu::parallel_for(threads_, x.rows(), [&](int64_t n) {
      auto* row = x.as<decltype(type)>() + n * x.cols();
      auto* gradient = dx.as<decltype(type)>() + n * x.cols();
#pragma omp simd
      for (int64_t i = begin; i < end; ++i)
        cpu::store(gradient[i], std::fabs(cpu::load(row[i])) >= bound ? 0.0f : cpu::load(gradient[i]));
    });
  });
}

void CpuBackend::do_sum(Tensor out, Tensor x, bool accumulate) {
  const float* values = x.as<float>();
  std::vector<double> partial(static_cast<size_t>((x.numel() + piece - 1) / piece));
  cpu::parallel_ranges(threads_, x.numel(), piece, [&](int64_t begin, int64_t end) {
    double total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t i = begin; i < end; ++i) total += static_cast<double>(values[i]);
    partial[static_cast<size_t>(begin / piece)] = total;
  });
  double total = accumulate ? static_cast<double>(*out.as<float>()) : 0.0;
  for (double p : partial) total += p;
  *out.as<float>() = static_cast<float>(total);
}

void CpuBackend::do_sum_squares(Tensor out, const std::vector<Tensor>& xs) {
  const std::vector<cpu::Piece> pieces = cpu::cut(
      xs.size(), [&](size_t i) { return xs[i].numel(); }, [](size_t) { return piece; });
  std::vector<double> partial(pieces.size());
  cpu::parallel_for(threads_, static_cast<int64_t>(pieces.size()), [&](int64_t p) {
    const auto [i, begin, count] = pieces[static_cast<size_t>(p)];
    const Tensor& x = xs[static_cast<size_t>(i)];
    partial[static_cast<size_t>(p)] = x.dtype == DType::f32 ? sum_of_squares(x.as<float>() + begin, count)
                                                            : sum_of_squares(x.as<bf16>() + begin, count);
  });
  double total = 0;
  for (double p : partial) total += p;
  *out.as<float>() = static_cast<float>(total);
}

}  // namespace rowan
