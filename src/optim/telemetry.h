// Figures that the papers plot about a matrix, computed on the host from copies of weights, gradient and state, so that
// observing changes nothing. Each matrix costs a Gram matrix and its factorization, so they are meant for every few
// hundred steps.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rowan {

struct Recipe;

// The name is "<parameter>/<figure>", or "mean/<figure>" over the matrices of this process.
struct Metric {
  std::string name;
  double value;
};

// Whether a row that is due every `every` steps (0: never) is due at `step` (from 1): at step 1 and at multiples of
// `every`.
inline bool on_log_steps(int64_t step, int64_t every) { return every > 0 && (step == 1 || step % every == 0); }

// One matrix [rows, cols], row-major, on the host, around one step.
struct MatrixView {
  int64_t rows = 0, cols = 0;
  std::vector<float> before, after;  // weights before and after the step
  std::vector<float> gradient;       // gradient times the clipping coefficient
  std::vector<float> momentum;       // momentum buffer after the step
  std::vector<float> second;         // state of adapt after the step: 1 or cols values
};

// Rows of the shorter side of u: r_i = (u u^T)_ii / mean over j != i of |(u u^T)_ij| (RMNP).
struct Dominance {
  double min, mean, max;
};
Dominance diagonal_dominance(const std::vector<float>& u, int64_t rows, int64_t cols);

// ||u||_F^2 / s_max^2, and s_max / s_min; the condition number is infinite beyond about 1e7 (MuonEq).
struct Spectrum {
  double stable_rank, condition;
};
Spectrum spectrum(const std::vector<float>& u, int64_t rows, int64_t cols);

// The figures that are meaningful for the recipe's stages, for one matrix after step t (from 1): dominance_min,
// dominance_mean, dominance_max of the momentum; stable_rank, condition and, with an equilibration,
// stable_rank_balanced, condition_balanced; row_norm (mean) and angular_velocity (mean over rows, radians per step);
// alpha (mean factor) and, with a clamp, clamp_rate.
std::vector<Metric> matrix_metrics(const Recipe& recipe, int64_t t, const MatrixView& view);

}  // namespace rowan
