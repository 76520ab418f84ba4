// Optimizer operations over rows, columns and whole matrices of an update: sums of squares, normalization, projection
// and adaptive factors. Lower bound on the time: reading each operand once and writing each updated matrix once, at the
// rate of a copy.
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/optimizer_pieces.h"

namespace rowan {
using namespace cpu;

namespace {

// Sums of squares of each row of n matrices [rows, cols].
void row_sums(ThreadPool& threads, const std::vector<Tensor>& matrices, float* out) {
  const int64_t rows = matrices[0].dim(0), cols = matrices[0].dim(1);
  parallel_ranges(threads, static_cast<int64_t>(matrices.size()) * rows, rows_per_piece(cols),
                  [&](int64_t begin, int64_t end) {
                    for (int64_t r = begin; r < end; ++r) {
                      const float* x = open(matrices[r / rows], r % rows * cols, cols, lines(cols));
                      float sum = 0;
#pragma omp simd reduction(+ : sum)
                      for (int64_t j = 0; j < cols; ++j) sum += x[j] * x[j];
                      out[r] = sum;
                    }
                  });
}

void column_sums(ThreadPool& threads, const std::vector<Tensor>& matrices, float* out) {
  const int64_t rows = matrices[0].dim(0), cols = matrices[0].dim(1);
  const std::vector<Piece> pieces = cut(
      matrices.size(), [&](size_t) { return cols; }, [](size_t) { return int64_t{128}; });
  parallel_for(threads, static_cast<int64_t>(pieces.size()), [&](int64_t p) {
    const int64_t m = pieces[p].slot, begin = pieces[p].begin, count = pieces[p].count;
    float* sum = out + m * cols + begin;
    std::fill(sum, sum + count, 0.0f);
    alignas(64) float buffer[128];
    for (int64_t i = 0; i < rows; ++i) {
      const float* x = open(matrices[m], i * cols + begin, count, buffer);
#pragma omp simd
      for (int64_t j = 0; j < count; ++j) sum[j] += x[j] * x[j];
    }
  });
}

std::vector<float> sums(ThreadPool& threads, const std::vector<Tensor>& matrices, Along along) {
  const int64_t n = static_cast<int64_t>(matrices.size()), rows = matrices[0].dim(0), cols = matrices[0].dim(1);
  std::vector<float> result(static_cast<size_t>(n * (along == Along::column ? cols : rows)));
  if (along == Along::column) {
    column_sums(threads, matrices, result.data());
    return result;
  }
  row_sums(threads, matrices, result.data());
  if (along == Along::row) return result;
  std::vector<float> totals(static_cast<size_t>(n));
  for (int64_t m = 0; m < n; ++m) {
    double total = 0;
    for (int64_t i = 0; i < rows; ++i) total += result[m * rows + i];
    totals[m] = static_cast<float>(total);
  }
  return totals;
}

std::vector<Tensor> matrices_of(const Tensor& update) {
  std::vector<Tensor> matrices;
  for (int64_t i = 0; i < update.dim(0); ++i) matrices.push_back(update.at(i));
  return matrices;
}

// Converts a sum of squares to the factor by which a row, column or matrix is multiplied.
float factor(float sum, const NormalizeRule& rule) {
  double divisor = rule.eps_mode == Eps::inside ? std::sqrt(static_cast<double>(sum) + rule.eps)
                   : rule.eps_mode == Eps::add  ? std::sqrt(static_cast<double>(sum)) + rule.eps
                                                : std::max(std::sqrt(static_cast<double>(sum)), double{rule.eps});
  double result = divisor <= 0 ? 0.0 : std::pow(divisor, 2.0 * rule.exponent);
  if (rule.clip > 0) result = std::clamp(result, 1.0 / rule.clip, double{rule.clip});
  return static_cast<float>(std::min(result, double{largest_factor}));
}

}  // namespace

void CpuBackend::do_sums_of_squares(Tensor out, const std::vector<Tensor>& matrices, Along along, float scale) {
  if (matrices.empty()) return;
  const std::vector<float> result = sums(threads_, matrices, along);
  for (size_t i = 0; i < result.size(); ++i) out.as<float>()[i] = std::min(scale * scale * result[i], largest_sum);
}

void CpuBackend::do_normalize(Tensor update, const NormalizeRule& rule) {
  const std::vector<Tensor> matrices = matrices_of(update);
  if (matrices.empty()) return;
  const int64_t rows = update.dim(1), cols = update.dim(2);
  auto factors = [&](bool wanted, Along along) {
    std::vector<float> result;
    if (wanted) result = sums(threads_, matrices, along);
    for (float& f : result) f = factor(f, rule);
    return result;
  };
  const std::vector<float> by_row = factors(rule.rows, Along::row), by_column = factors(rule.columns, Along::column),
                           by_matrix = factors(rule.matrix, Along::matrix);
  parallel_ranges(threads_, update.dim(0) * rows, rows_per_piece(cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* x = open(update, r * cols, cols, lines(cols));
      const float f = std::min(
          rule.target * (rule.rows ? by_row[r] : 1.0f) * (rule.matrix ? by_matrix[r / rows] : 1.0f), largest_factor);
      if (rule.columns) {
        const float* c = by_column.data() + r / rows * cols;
#pragma omp simd
        for (int64_t j = 0; j < cols; ++j) x[j] *= std::min(f * c[j], largest_factor);
      } else {
#pragma omp simd
        for (int64_t j = 0; j < cols; ++j) x[j] *= f;
      }
      close(update, r * cols, cols, x);
    }
  });
}

void CpuBackend::do_project(Tensor update, const std::vector<OptimizerSlot>& slots, const ProjectRule& rule) {
  const int64_t rows = update.dim(1), cols = update.dim(2);
  auto share = [&](float uw, float ww) {
    if (rule.raw) return uw;
    const float norm = std::max(std::sqrt(ww), rule.eps);
    return uw / norm / norm;
  };
  if (rule.along == Along::row) {
    parallel_ranges(threads_, update.dim(0) * rows, rows_per_piece(cols), [&](int64_t begin, int64_t end) {
      float* memory = lines(2 * cols);
      for (int64_t r = begin; r < end; ++r) {
        float* u = open(update, r * cols, cols, memory);
        const float* w = open(slots[r / rows].value(), r % rows * cols, cols, memory + cols);
        float uw = 0, ww = 0;
#pragma omp simd reduction(+ : uw, ww)
        for (int64_t j = 0; j < cols; ++j) uw += u[j] * w[j], ww += w[j] * w[j];
        const float k = share(uw, ww);
#pragma omp simd
        for (int64_t j = 0; j < cols; ++j) u[j] -= k * w[j];
        close(update, r * cols, cols, u);
      }
    });
    return;
  }
  const std::vector<Piece> pieces = cut(
      slots.size(), [&](size_t) { return cols; }, [&](size_t) { return stripe(rows); });
  parallel_for(threads_, static_cast<int64_t>(pieces.size()), [&](int64_t p) {
    const int64_t s = pieces[p].slot, begin = pieces[p].begin, count = pieces[p].count;
    alignas(64) float uw[256] = {}, ww[256] = {}, buffers[2][256];
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t i = 0; i < rows; ++i) {
        float* u = open(update, (s * rows + i) * cols + begin, count, buffers[0]);
        const float* w = open(slots[s].value(), i * cols + begin, count, buffers[1]);
        if (pass == 0) {
#pragma omp simd
          for (int64_t j = 0; j < count; ++j) uw[j] += u[j] * w[j], ww[j] += w[j] * w[j];
        } else {
#pragma omp simd
          for (int64_t j = 0; j < count; ++j) u[j] -= uw[j] * w[j];
          close(update, (s * rows + i) * cols + begin, count, u);
        }
      }
      if (pass == 0)
        for (int64_t j = 0; j < count; ++j) uw[j] = share(uw[j], ww[j]);
    }
  });
}

void CpuBackend::do_adaptive_factors(Tensor factors, const std::vector<OptimizerSlot>& slots, Tensor update_sums,
                                     Tensor gradient_sums, const AdaptRule& rule) {
  const int64_t k = factors.cols();
  parallel_for(threads_, static_cast<int64_t>(slots.size()), [&](int64_t s) {
    float *v = slots[s].second.as<float>(), *f = factors.as<float>() + s * k;
    const float* u = update_sums.as<float>() + s * k;
    if (rule.normuon) {
      double before = 0, after = 0;
      for (int64_t j = 0; j < k; ++j) {
        v[j] = rule.second.keep * v[j] + rule.second.take * u[j] / rule.width;
        f[j] = 1.0f / (std::sqrt(v[j]) + rule.eps);
        before += u[j];
        after += double{f[j]} * f[j] * u[j];
      }
      const double norm = rule.target > 0 ? double{rule.target} : std::sqrt(before);
      const float ratio = static_cast<float>(norm / (std::sqrt(after) + rule.eps));
      for (int64_t j = 0; j < k; ++j) f[j] *= ratio;
      return;
    }
    const float* g = gradient_sums.as<float>() + s * k;
    double sum = 0;
    for (int64_t j = 0; j < k; ++j) {
      v[j] = rule.second.keep * v[j] + rule.second.take * g[j];
      f[j] = std::sqrt(u[j]) / (rule.eps_inside ? std::sqrt(v[j] + rule.eps) : std::sqrt(v[j]) + rule.eps);
      sum += f[j];
    }
    const float mean = static_cast<float>(sum / static_cast<double>(k));
    for (int64_t j = 0; j < k; ++j) {
      if (rule.clamp > 0 && mean > 0) f[j] = std::clamp(f[j], rule.clamp * mean, mean / rule.clamp);
      f[j] *= rule.bias;
    }
  });
}

}  // namespace rowan
