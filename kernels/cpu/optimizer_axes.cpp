// Optimizer operations on rows and columns of matrices: sums, scaling by factors, keeping the largest, and sorting.
// Also power, multiply and retract_factors. Lower bound on the time: reading each operand once and writing each updated
// tensor once, at the rate of a copy.
#include <algorithm>
#include <numeric>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/optimizer_pieces.h"

namespace rowan {
using namespace cpu;

namespace {

int64_t width_of(Along along, const Tensor& matrix) {
  return along == Along::row ? matrix.dim(0) : along == Along::column ? matrix.dim(1) : 1;
}

// The indices of `keys`, sorted by sorts_before().
std::vector<int64_t> falling(const float* keys, int64_t count) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) { return sorts_before(keys[i], keys[j]); });
  return order;
}

// Sums of a * b over each row, each column or the whole of one matrix, or sums of |a| if `b` is empty.
void sum_matrix(float* out, const Tensor& a, const Tensor& b, Along along) {
  const int64_t rows = a.dim(0), cols = a.dim(1);
  float* memory = lines(2 * cols);
  if (along == Along::column) std::fill(out, out + cols, 0.0f);
  double total = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const float* x = open(a, i * cols, cols, memory);
    const float* y = b.empty() ? nullptr : open(b, i * cols, cols, memory + cols);
    if (along == Along::column) {
      if (y) {
#pragma omp simd
        for (int64_t j = 0; j < cols; ++j) out[j] += x[j] * y[j];
      } else {
#pragma omp simd
        for (int64_t j = 0; j < cols; ++j) out[j] += std::fabs(x[j]);
      }
      continue;
    }
    float sum = 0;
    if (y) {
#pragma omp simd reduction(+ : sum)
      for (int64_t j = 0; j < cols; ++j) sum += x[j] * y[j];
    } else {
#pragma omp simd reduction(+ : sum)
      for (int64_t j = 0; j < cols; ++j) sum += std::fabs(x[j]);
    }
    if (along == Along::row) out[i] = sum;
    total += sum;
  }
  if (along == Along::matrix) *out = static_cast<float>(total);
}

}  // namespace

void CpuBackend::do_sums_along(Tensor out, const std::vector<Tensor>& a, const std::vector<Tensor>& b, Along along) {
  parallel_for(threads_, static_cast<int64_t>(a.size()), [&](int64_t m) {
    sum_matrix(out.as<float>() + m * width_of(along, a[m]), a[m], b.empty() ? Tensor() : b[m], along);
  });
}

void CpuBackend::do_scale_along(Tensor update, Tensor factors, Along along) {
  const int64_t rows = update.dim(1), cols = update.dim(2);
  const float* all = factors.as<float>();
  parallel_ranges(threads_, update.dim(0) * rows, rows_per_piece(cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* x = open(update, r * cols, cols, lines(cols));
      if (along == Along::column) {
        const float* f = all + r / rows * cols;
#pragma omp simd
        for (int64_t j = 0; j < cols; ++j) x[j] *= f[j];
      } else {
        const float f = all[along == Along::row ? r : r / rows];
#pragma omp simd
        for (int64_t j = 0; j < cols; ++j) x[j] *= f;
      }
      close(update, r * cols, cols, x);
    }
  });
}

void CpuBackend::do_power(Tensor x, const PowerRule& rule) {
  float* values = x.as<float>();
  for (int64_t i = 0; i < x.numel(); ++i) {
    const double shifted = double{values[i]} + rule.shift;
    const double base = std::max(rule.odd ? std::abs(shifted) : shifted, double{rule.floor});
    const double result =
        std::min(base <= 0 ? 0.0 : rule.factor * std::pow(base, double{rule.exponent}), double{largest_factor});
    values[i] = static_cast<float>(rule.odd ? std::copysign(result, shifted) : result);
  }
}

void CpuBackend::do_multiply(Tensor y, Tensor x) {
  parallel_ranges(threads_, y.numel(), element_grain, [&](int64_t begin, int64_t end) {
    float* to = y.as<float>();
    const float* by = x.as<float>();
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) to[i] *= by[i];
  });
}

void CpuBackend::do_retract_factors(Tensor steps, Tensor keeps, Tensor ww, Tensor uw, Tensor uu, Tensor radii,
                                    const RetractRule& rule) {
  for (int64_t i = 0; i < steps.numel(); ++i) {
    const double keep = 1.0 - rule.decay, eps = rule.eps, length = std::sqrt(double{ww.as<float>()[i]});
    const double radius = radii.empty() ? length : radii.as<float>()[i];
    const double step = rule.given ? double{steps.as<float>()[i]}
                                   : rule.lr * radius / std::max(std::sqrt(double{uu.as<float>()[i]}), eps);
    const double square =
        keep * keep * ww.as<float>()[i] - 2 * keep * step * uw.as<float>()[i] + step * step * uu.as<float>()[i];
    const double ratio = radius / std::max(std::sqrt(std::max(square, 0.0)), eps);
    steps.as<float>()[i] = static_cast<float>(ratio * step);
    keeps.as<float>()[i] = static_cast<float>(ratio * keep);
  }
}

void CpuBackend::do_keep_largest(Tensor update, const std::vector<OptimizerSlot>& slots, const LargestRule& rule) {
  const int64_t rows = update.dim(1), cols = update.dim(2);
  const bool by_row = rule.along == Along::row;
  parallel_for(threads_, static_cast<int64_t>(slots.size()), [&](int64_t s) {
    std::vector<float> sums(static_cast<size_t>(by_row ? rows : cols));
    sum_matrix(sums.data(), update.at(s), {}, rule.along);
    const std::vector<int64_t> order = falling(sums.data(), static_cast<int64_t>(sums.size()));
    std::vector<char> kept(sums.size());
    for (int64_t i = 0; i < rule.count; ++i) kept[order[i]] = 1;
    float* memory = lines(2 * cols);
    for (int64_t i = 0; i < rows; ++i) {
      float* u = open(update, (s * rows + i) * cols, cols, memory);
      float* m = open(slots[s].first, i * cols, cols, memory + cols);
      for (int64_t j = 0; j < cols; ++j) {
        if (kept[by_row ? i : j])
          m[j] *= rule.decay;
        else
          u[j] = 0;
      }
      close(update, (s * rows + i) * cols, cols, u);
      close(slots[s].first, i * cols, cols, m);
    }
  });
}

void CpuBackend::do_sort_along(const std::vector<Tensor>& matrices, Tensor keys, Along along) {
  parallel_for(threads_, static_cast<int64_t>(matrices.size()), [&](int64_t m) {
    const Tensor& x = matrices[m];
    const int64_t rows = x.dim(0), cols = x.dim(1), k = width_of(along, x);
    const std::vector<int64_t> order = falling(keys.as<float>() + m * k, k);
    std::vector<float> copy(static_cast<size_t>(rows * cols));
    for (int64_t i = 0; i < rows; ++i) {
      const float* from = open(x, i * cols, cols, lines(cols));
      std::copy(from, from + cols, copy.data() + i * cols);
    }
    std::vector<float> row(static_cast<size_t>(cols));
    for (int64_t i = 0; i < rows; ++i) {
      const float* from = copy.data() + (along == Along::row ? order[i] : i) * cols;
      if (along == Along::column)
        for (int64_t j = 0; j < cols; ++j) row[j] = from[order[j]];
      close(x, i * cols, cols, along == Along::column ? row.data() : from);
    }
  });
}

}  // namespace rowan
