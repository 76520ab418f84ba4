// Newton-Schulz on a batch of matrices.
#include <algorithm>

#include "optim/stages.h"

namespace rowan {
namespace {

float f(double x) { return static_cast<float>(x); }

// What one iteration works on: the Gram matrix of the short side, and room for its square.
struct Grams {
  bool tall;
  Tensor gram, squared;
};

void normalize_matrices(StageRun& run, Tensor x, double safety) {
  const Recipe& r = run.recipe;
  NormalizeRule rule;
  rule.matrix = true;
  // safety * norm + eps, or the larger of both.
  rule.eps = f(r.ns_eps / safety);
  rule.eps_mode = eps_of(r.ns_eps_mode);
  rule.target = f(1 / safety);
  run.backend.normalize(x, rule);
}

// Turbo-Muon (arXiv 2512.04632): short rows x_i / sqrt(sum_j |(x x^T)_ij|), after which no singular value exceeds 1.
void almost_orthogonal(StageRun& run, Tensor x, const Grams& grams) {
  const int64_t n = x.dim(0), side = grams.gram.dim(1);
  std::vector<Tensor> all;
  for (int64_t i = 0; i < n; ++i) all.push_back(grams.gram.at(i));
  run.backend.matmul(grams.gram, {x, grams.tall}, {x, !grams.tall});
  Tensor factors = run.sums(0, side);
  run.backend.sums_along(factors, all, {}, Along::row);
  run.backend.power(factors, {1, f(run.recipe.ns_eps), -0.5f});
  run.backend.scale_along(x, factors, grams.tall ? Along::column : Along::row);
}

// MuonEq's spc: over |(x x^T)^2|_F^(1/4), closer to the largest singular value than the Frobenius norm.
void by_gram_norm(StageRun& run, Tensor x, const Grams& grams) {
  normalize_matrices(run, x, 1);
  const int64_t n = x.dim(0);
  std::vector<Tensor> all;
  for (int64_t i = 0; i < n; ++i) all.push_back(grams.squared.at(i));
  run.backend.matmul(grams.gram, {x, grams.tall}, {x, !grams.tall});
  run.backend.matmul(grams.squared, grams.gram, grams.gram);
  Tensor factors = run.sums(0, 1);
  run.backend.sums_of_squares(factors, all, Along::matrix, 1);
  run.backend.power(factors, {f(1 / norm_safety(run.recipe)), 1e-30f, -0.125f});
  run.backend.scale_along(x, factors, Along::matrix);
}

}  // namespace

Tensor orthogonalize(StageRun& run, Tensor x, Tensor y) {
  const Recipe& recipe = run.recipe;
  Backend& backend = run.backend;
  const int64_t n = x.dim(0), rows = x.dim(1), cols = x.dim(2);
  Grams grams;
  grams.tall = recipe.ns_transpose && rows > cols;
  const int64_t side = grams.tall ? cols : rows;
  grams.gram = run.workspace.gram.slice(0, n * side * side).view({n, side, side});
  grams.squared = run.workspace.gram_squared.slice(0, n * side * side).view({n, side, side});
  if (recipe.ns_normalize == Start::aol)
    almost_orthogonal(run, x, grams);
  else if (recipe.ns_normalize == Start::gram)
    by_gram_norm(run, x, grams);
  else
    normalize_matrices(run, x, norm_safety(recipe));
  for (const auto& [a, b, c] : iterations(recipe)) {
    backend.matmul(grams.gram, {x, grams.tall}, {x, !grams.tall});
    backend.matmul_add(grams.squared, grams.gram, grams.gram, grams.gram, f(c), f(b));
    if (grams.tall)
      backend.matmul_add(y, x, x, grams.squared, 1, f(a));
    else
      backend.matmul_add(y, x, grams.squared, x, 1, f(a));
    std::swap(x, y);
  }
  return x;
}

}  // namespace rowan
