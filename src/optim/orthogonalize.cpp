// Newton-Schulz on a batch of matrices.
#include <algorithm>

#include "kernels/backend.h"
#include "optim/stages.h"

namespace rowan {
namespace {

float f(double x) { return static_cast<float>(x); }

// The scratch memory of an iteration: the Gram matrix (x^T x if `tall`, else x x^T), and a polynomial of this matrix.
struct Grams {
  bool tall;
  Tensor gram, squared;
};

void compute_gram(Backend& backend, const Tensor& gram, const Tensor& x, bool tall) {
  backend.matmul(gram, {x, tall}, {x, !tall}, 1, 0, Result::symmetric);
}

void normalize_matrices(StageRun& run, Tensor x, double safety) {
  const Recipe& r = run.recipe;
  NormalizeRule rule;
  rule.matrix = true;
  // The matrix is divided by safety * norm + eps, or by the larger of the two terms.
  rule.eps = f(r.ns_eps / safety);
  rule.eps_mode = eps_of(r.ns_eps_mode);
  rule.target = f(1 / safety);
  run.backend.normalize(x, rule);
}

// Turbo-Muon (arXiv 2512.04632): divides row i of x by sqrt(max(sum_j |(x x^T)_ij|, ns_eps)). All singular values are
// then at most 1, up to rounding. For a tall x, columns and x^T x take the place of rows and x x^T.
void almost_orthogonal(StageRun& run, Tensor x, const Grams& grams) {
  // x x^T of a larger matrix could overflow, and the quotient does not depend on the scale of a large matrix.
  constexpr float most = 0x1p50f;
  NormalizeRule limit;
  limit.matrix = true;
  limit.eps = most;
  limit.eps_mode = Eps::clamp;
  limit.target = most;
  run.backend.normalize(x, limit);
  const int64_t n = x.dim(0), side = grams.gram.dim(1);
  std::vector<Tensor> all;
  for (int64_t i = 0; i < n; ++i) all.push_back(grams.gram.at(i));
  compute_gram(run.backend, grams.gram, x, grams.tall);
  Tensor factors = run.sums(0, side);
  run.backend.sums_along(factors, all, {}, Along::row);
  run.backend.power(factors, {1, f(run.recipe.ns_eps), -0.5f});
  run.backend.scale_along(x, factors, grams.tall ? Along::column : Along::row);
}

// The start `spc` of MuonEq's code: divides x by |(x x^T)^2|_F^(1/4), which is a closer upper bound of the largest
// singular value than |x|_F.
void by_gram_norm(StageRun& run, Tensor x, const Grams& grams) {
  normalize_matrices(run, x, 1);
  const int64_t n = x.dim(0);
  std::vector<Tensor> all;
  for (int64_t i = 0; i < n; ++i) all.push_back(grams.squared.at(i));
  compute_gram(run.backend, grams.gram, x, grams.tall);
  run.backend.matmul(grams.squared, grams.gram, grams.gram, 1, 0, Result::symmetric);
  Tensor factors = run.sums(0, 1);
  run.backend.sums_of_squares(factors, all, Along::matrix, 1);
  run.backend.power(factors, {f(1 / norm_safety(run.recipe)), 1e-30f, -0.125f});
  run.backend.scale_along(x, factors, Along::matrix);
}

// x <- (a I + b A + c A^2) x with A = x x^T or, for a tall x, x <- x (a I + b A + c A^2) with A = x^T x. A is
// recomputed in each iteration; `y` is scratch memory of x's size.
Tensor iterate(StageRun& run, Tensor x, Tensor y, const Grams& grams) {
  Backend& backend = run.backend;
  for (const auto& [a, b, c] : iterations(run.recipe)) {
    compute_gram(backend, grams.gram, x, grams.tall);
    backend.matmul_add(grams.squared, grams.gram, grams.gram, grams.gram, f(c), f(b), Result::symmetric);
    if (grams.tall)
      backend.matmul_add(y, x, x, grams.squared, 1, f(a));
    else
      backend.matmul_add(y, x, grams.squared, x, 1, f(a));
    std::swap(x, y);
  }
  return x;
}

// Gram Newton-Schulz (Dao-AILab): iterates the same polynomials on A = x x^T alone and accumulates their product, the
// matrix P + q I. At the end, x <- (P + q I) x. The same multiplication is made before the third iteration. A is then
// recomputed from x, which removes the rounding errors in A, and the product starts anew. For a tall x, A = x^T x and
// the products are x (P + q I). The products of polynomials of A are symmetric.
Tensor iterate_on_gram(StageRun& run, Tensor x, Tensor y, const Grams& grams) {
  constexpr size_t restart = 2;
  Backend& backend = run.backend;
  const std::vector<Quintic> steps = iterations(run.recipe);
  const int64_t size = grams.gram.numel();
  auto place = [&](const Tensor& flat, int i) {
    return flat.slice(i * size, size).view({x.dim(0), grams.gram.dim(1), grams.gram.dim(1)});
  };
  Tensor gram = grams.gram, polynomial = grams.squared, step = place(run.workspace.gram, 1),
         spare = place(run.workspace.gram_squared, 1);
  double q = 1;
  auto apply = [&] {
    if (grams.tall)
      backend.matmul_add(y, x, x, polynomial, 1, f(q));
    else
      backend.matmul_add(y, x, polynomial, x, 1, f(q));
    std::swap(x, y);
  };
  for (size_t i = 0; i < steps.size(); ++i) {
    const auto& [a, b, c] = steps[i];
    const bool first = i == 0 || i == restart;
    if (i == restart) apply();
    if (first) compute_gram(backend, gram, x, grams.tall);
    backend.matmul_add(step, gram, gram, gram, f(c), f(b), Result::symmetric);  // z = b A + c A^2
    if (first) {
      backend.copy(polynomial, step);
      q = a;
    } else {  // (z + a I) (P + q I)
      backend.matmul_add(spare, polynomial, step, polynomial, 1, f(a), Result::symmetric);
      backend.copy(polynomial, step);
      backend.scale(polynomial, f(q));
      backend.add(polynomial, spare);
      q *= a;
    }
    if (i + 1 == steps.size() || i + 1 == restart) continue;
    backend.matmul_add(spare, gram, gram, step, 1, f(a), Result::symmetric);  // (z + a I) A (z + a I)
    backend.matmul_add(gram, spare, step, spare, 1, f(a), Result::symmetric);
  }
  apply();
  return x;
}

}  // namespace

Tensor orthogonalize(StageRun& run, Tensor x, Tensor y) {
  const Recipe& recipe = run.recipe;
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
  return recipe.ns_gram && rows != cols ? iterate_on_gram(run, x, y, grams) : iterate(run, x, y, grams);
}

}  // namespace rowan
