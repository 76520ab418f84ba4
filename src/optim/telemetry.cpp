#include "optim/telemetry.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "kernels/backend.h"
#include "kernels/thread_pool.h"
#include "optim/stages.h"

namespace rowan {
namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

double dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

// The Gram matrix of the rows, or of the columns if there are fewer columns than rows.
Doubles gram(const Floats& u, int64_t rows, int64_t cols, ThreadPool& threads) {
  Floats flipped;
  const float* x = u.data();
  if (rows > cols) {
    flipped.resize(u.size());
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < cols; ++j) flipped[j * rows + i] = u[i * cols + j];
    x = flipped.data();
    std::swap(rows, cols);
  }
  Doubles result(static_cast<size_t>(rows * rows));
  threads.run(rows, [&](int64_t i, int) {
    for (int64_t j = 0; j <= i; ++j) {
      const double value = dot(x + i * cols, x + j * cols, cols);
      result[i * rows + j] = result[j * rows + i] = value;
    }
  });
  return result;
}

double norm(const Doubles& x) {
  double sum = 0;
  for (double value : x) sum += value * value;
  return std::sqrt(sum);
}

// An arbitrary start vector that is unlikely to be orthogonal to the eigenvector sought.
Doubles start(int64_t n) {
  Doubles x(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) x[i] = 1 + 0.37 * std::sin(1.7 * static_cast<double>(i));
  return x;
}

double largest_eigenvalue(const Doubles& a, int64_t n) {
  Doubles x = start(n), y(x.size());
  double value = 0;
  for (int iteration = 0; iteration < 100; ++iteration) {
    const double size = norm(x);
    if (size == 0) return 0;
    for (double& v : x) v /= size;
    for (int64_t i = 0; i < n; ++i) {
      double sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t j = 0; j < n; ++j) sum += a[i * n + j] * x[j];
      y[i] = sum;
    }
    value = norm(y);
    std::swap(x, y);
  }
  return value;
}

// Smallest eigenvalue by inverse iteration with a Cholesky factor; 0 if the matrix is singular to working precision.
double smallest_eigenvalue(Doubles a, int64_t n) {
  double trace = 0;
  for (int64_t i = 0; i < n; ++i) trace += a[i * n + i];
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      double sum = a[i * n + j];
#pragma omp simd reduction(- : sum)
      for (int64_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      if (i != j) {
        a[i * n + j] = sum / a[j * n + j];
      } else {
        if (sum <= 1e-15 * trace) return 0;
        a[i * n + i] = std::sqrt(sum);
      }
    }
  Doubles x = start(n);
  double value = 0;
  for (int iteration = 0; iteration < 60; ++iteration) {
    const double size = norm(x);
    for (double& v : x) v /= size;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t k = 0; k < i; ++k) x[i] -= a[i * n + k] * x[k];
      x[i] /= a[i * n + i];
    }
    for (int64_t i = n - 1; i >= 0; --i) {
      x[i] /= a[i * n + i];
#pragma omp simd
      for (int64_t k = 0; k < i; ++k) x[k] -= a[i * n + k] * x[i];
    }
    value = 1 / norm(x);
  }
  return value;
}

Spectrum spectrum_of(const Doubles& g, int64_t n) {
  double trace = 0;
  for (int64_t i = 0; i < n; ++i) trace += g[i * n + i];
  const double largest = largest_eigenvalue(g, n), smallest = smallest_eigenvalue(g, n);
  // A matrix of zeros, such as a momentum before its first step, has no rank.
  return {largest > 0 ? trace / largest : std::numeric_limits<double>::quiet_NaN(),
          smallest > 0 ? std::sqrt(largest / smallest) : std::numeric_limits<double>::infinity()};
}

Dominance dominance_of(const Doubles& g, int64_t n) {
  Dominance result = {std::numeric_limits<double>::infinity(), 0, 0};
  int64_t counted = 0;
  for (int64_t i = 0; i < n; ++i) {
    double others = 0;
    for (int64_t j = 0; j < n; ++j) others += j == i ? 0 : std::fabs(g[i * n + j]);
    if (others == 0) continue;
    const double ratio = g[i * n + i] / (others / static_cast<double>(n - 1));
    result.min = std::min(result.min, ratio);
    result.max = std::max(result.max, ratio);
    result.mean += ratio;
    ++counted;
  }
  if (counted == 0) result.mean = result.max = std::numeric_limits<double>::quiet_NaN();
  if (counted) result.mean /= static_cast<double>(counted);
  return result;
}

// The momentum buffer, to which Nesterov's look-ahead is applied if the recipe uses it. The gradient if there is no
// momentum. Where the buffer is not of the gradients that it is given, a look-ahead with them would mean nothing.
Floats look_ahead(const Recipe& r, const MatrixView& view) {
  if (r.form == Form::none) return view.gradient;
  Floats u = view.momentum;
  if (!r.nesterov || (r.form != Form::ema && r.form != Form::heavy_ball)) return u;
  if (r.momentum_last || r.mars_gamma > 0 || r.magnitudes != Magnitudes::none) return u;
  const float from_gradient = static_cast<float>(r.form == Form::heavy_ball ? 1 : 1 - r.momentum);
  for (size_t i = 0; i < u.size(); ++i) u[i] = static_cast<float>(r.momentum) * u[i] + from_gradient * view.gradient[i];
  return u;
}

// The sum of squares of each column.
Doubles squares(const Floats& u, int64_t rows, int64_t cols) {
  Doubles sums(static_cast<size_t>(cols));
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j)
      sums[j] += static_cast<double>(u[i * cols + j]) * static_cast<double>(u[i * cols + j]);
  return sums;
}

// u after the stage `equilibrate`.
Floats balanced(const Recipe& r, int64_t t, Floats u, int64_t rows, int64_t cols) {
  WorkspaceSize size;
  equilibrate_stage.workspace(r, 1, rows, cols, size);
  Floats sums(static_cast<size_t>(size.sums));
  Workspace workspace;
  workspace.sums = Tensor(sums.data(), DType::f32, {size.sums});
  const std::unique_ptr<Backend> backend = make_cpu_backend(1);
  const States states;
  Moment now;
  now.t = t;
  StageRun run{*backend, r, now, {}, states, workspace, Tensor(u.data(), DType::f32, {1, rows, cols})};
  equilibrate_stage.run(run);
  return u;
}

// Whether NAMO's factors measure look_ahead(). Otherwise another stage changes the update or the gradient before them.
bool factors_measure_look_ahead(const Recipe& r) {
  return r.mars_gamma == 0 && r.slow_beta == 0 && r.select_fraction == 0 && r.project == Project::none &&
         !r.momentum_last;
}

// Computes alpha and clamp_rate of NAMO's factors from the state after the step.
void adaptive_metrics(const Recipe& r, int64_t t, const MatrixView& view, const Floats& u, std::vector<Metric>& out) {
  Doubles sums = squares(u, view.rows, view.cols);
  if (r.adapt == Adapt::matrix) {
    double total = 0;
    for (double sum : sums) total += sum;
    sums = {total};
  }
  double mean = 0;
  Doubles q;
  for (size_t j = 0; j < sums.size(); ++j) {
    const double v = static_cast<double>(view.second[j]);
    q.push_back(std::sqrt(sums[j]) / (r.adapt_eps_inside ? std::sqrt(v + r.adapt_eps) : std::sqrt(v) + r.adapt_eps));
    mean += q.back() / static_cast<double>(sums.size());
  }
  int64_t clamped = 0;
  double alpha = 0;
  for (double value : q) {
    const double limited = r.clamp > 0 ? std::clamp(value, r.clamp * mean, mean / r.clamp) : value;
    clamped += limited != value;
    alpha += limited / static_cast<double>(q.size());
  }
  alpha *= std::sqrt(1 - std::pow(r.beta2, static_cast<double>(t))) / momentum_share(r, t);
  out.push_back({"alpha", alpha});
  if (r.clamp > 0) out.push_back({"clamp_rate", static_cast<double>(clamped) / static_cast<double>(q.size())});
}

}  // namespace

Dominance diagonal_dominance(const Floats& u, int64_t rows, int64_t cols, ThreadPool& threads) {
  return dominance_of(gram(u, rows, cols, threads), std::min(rows, cols));
}

Spectrum spectrum(const Floats& u, int64_t rows, int64_t cols, ThreadPool& threads) {
  return spectrum_of(gram(u, rows, cols, threads), std::min(rows, cols));
}

std::vector<Metric> matrix_metrics(const Recipe& recipe, int64_t t, const MatrixView& view, ThreadPool& threads) {
  std::vector<Metric> metrics;
  const int64_t side = std::min(view.rows, view.cols);
  const Floats u = look_ahead(recipe, view);
  const Doubles g = gram(u, view.rows, view.cols, threads);
  if (side > 1) {
    const Dominance dominance = dominance_of(g, side);
    metrics.push_back({"dominance_min", dominance.min});
    metrics.push_back({"dominance_mean", dominance.mean});
    metrics.push_back({"dominance_max", dominance.max});
  }
  const Spectrum spread = spectrum_of(g, side);
  metrics.push_back({"stable_rank", spread.stable_rank});
  metrics.push_back({"condition", spread.condition});
  if (recipe.equilibrate != Equilibrate::none && recipe.equilibrate != Equilibrate::sign) {
    const Spectrum after = spectrum(balanced(recipe, t, u, view.rows, view.cols), view.rows, view.cols, threads);
    metrics.push_back({"stable_rank_balanced", after.stable_rank});
    metrics.push_back({"condition_balanced", after.condition});
  }
  double length = 0, angle = 0;
  for (int64_t i = 0; i < view.rows; ++i) {
    const float *before = view.before.data() + i * view.cols, *after = view.after.data() + i * view.cols;
    const double from = std::sqrt(dot(before, before, view.cols)), to = std::sqrt(dot(after, after, view.cols));
    length += to / static_cast<double>(view.rows);
    if (from == 0 || to == 0) continue;
    // The angle is computed from the chord between the unit vectors, because rounding dominates the cosine of a small
    // angle.
    double chord = 0;
    for (int64_t j = 0; j < view.cols; ++j) {
      const double gap = static_cast<double>(after[j]) / to - static_cast<double>(before[j]) / from;
      chord += gap * gap;
    }
    angle += 2 * std::asin(std::min(1.0, 0.5 * std::sqrt(chord))) / static_cast<double>(view.rows);
  }
  metrics.push_back({"row_norm", length});
  metrics.push_back({"angular_velocity", angle});
  if (recipe.scales_rate() && factors_measure_look_ahead(recipe)) adaptive_metrics(recipe, t, view, u, metrics);
  return metrics;
}

}  // namespace rowan
