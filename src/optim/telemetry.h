// Metrics that papers plot for each matrix. They are computed on the host from copies of weights, gradient and state,
// so they do not change training. Each matrix costs a Gram matrix and its factorization, so metrics should be computed
// only every few hundred steps.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rowan {

struct Recipe;
class ThreadPool;

// In Optimizer::telemetry(), the name is "<parameter>/<metric>", or "mean/<metric>" for the mean over the matrices of
// this process. In matrix_metrics() it is "<metric>".
struct Metric {
  std::string name;
  double value;
};

// Whether a row of metrics is due at step `step` (from 1): at step 1 and at multiples of `every`, or never if `every`
// is 0.
inline bool on_log_steps(int64_t step, int64_t every) { return every > 0 && (step == 1 || step % every == 0); }

// One matrix [rows, cols], row-major, on the host, before and after one step.
struct MatrixView {
  int64_t rows = 0, cols = 0;
  std::vector<float> before, after;  // weights before and after the step
  std::vector<float> gradient;       // gradient times the clipping coefficient
  std::vector<float> momentum;       // momentum buffer after the step
  std::vector<float> second;         // second moments of the stage adapt after the step: 1 or cols values
};

// The diagonal dominance of u (RMNP), over its rows i: r_i = (u u^T)_ii / mean over j != i of |(u u^T)_ij|. Rows for
// which this mean is 0 are left out. If u has fewer columns than rows, u^T takes the place of u.
struct Dominance {
  double min, mean, max;
};
Dominance diagonal_dominance(const std::vector<float>& u, int64_t rows, int64_t cols, ThreadPool& threads);

// The stable rank ||u||_F^2 / s_max^2 and the condition number s_max / s_min of u, with its singular values s (MuonEq).
// The condition number is infinite if the Gram matrix of u is singular in double precision.
struct Spectrum {
  double stable_rank, condition;
};
Spectrum spectrum(const std::vector<float>& u, int64_t rows, int64_t cols, ThreadPool& threads);

// The metrics of one matrix after step t (from 1):
// - stable_rank and condition of the momentum buffer, to which Nesterov's look-ahead is applied if the recipe uses it,
//   or of the gradient with form none;
// - dominance_min, dominance_mean and dominance_max of this buffer, if both of its sides are longer than 1;
// - stable_rank_balanced and condition_balanced of this buffer after the stage `equilibrate`, if the recipe
//   equilibrates rows or columns;
// - row_norm and angular_velocity (radians per step) of the weights, as means over rows;
// - for NAMO without mars_gamma, slow_beta, select_fraction, project and momentum_last, alpha: the mean of its factors;
// - if it then has a clamp, clamp_rate: the fraction of factors that the clamp changes.
std::vector<Metric> matrix_metrics(const Recipe& recipe, int64_t t, const MatrixView& view, ThreadPool& threads);

}  // namespace rowan
