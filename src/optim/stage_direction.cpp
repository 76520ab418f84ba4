// The direction of the step: the orthogonal factor by Newton-Schulz, a norm for each row or column, or signs.
#include <fmt/format.h>

#include <algorithm>

#include "optim/stages.h"

namespace rowan {
namespace {

const Names choices = {"newton_schulz", "polar", "row_normalize", "column_normalize", "alternate_axis", "sign", "none"};
const Names divides = {"add", "clamp"};
const Names precisions = {"auto", "f32", "bf16"};

void switches(Recipe& r, Switches& s) {
  s.choice("direction", r.direction, choices);
  s.when(r.normalizes_axis() || r.project != Project::none,
         "it is that of project and of directions by the norms of an axis; the others are ns_eps, equilibrate_eps, "
         "adapt_eps",
         [&] {
           s.number("eps", r.eps, Switches::tiny, 1);
           s.choice("eps_mode", r.eps_mode, divides);
         });
  s.when(r.direction == Direction::newton_schulz, "only direction newton_schulz has steps and coefficients", [&] {
    s.coefficients(r);
    s.choice("ns_precision", r.ns_precision, precisions);
  });
  s.when(r.orthogonalizes(), "direction orthogonalizes nothing", [&] {
    s.number("ns_eps", r.ns_eps, Switches::tiny, 1);
    s.choice("ns_eps_mode", r.ns_eps_mode, divides);
    s.flag("ns_transpose", r.ns_transpose);
  });
}

// update /= its norm, then the iterations of the recipe.
Tensor orthogonalize(StageRun& run) {
  const Recipe& recipe = run.recipe;
  Backend& backend = run.backend;
  auto f = [](double value) { return static_cast<float>(value); };
  NormalizeRule rule;
  rule.matrix = true;
  rule.eps = f(recipe.ns_eps);
  rule.eps_mode = eps_of(recipe.ns_eps_mode);
  rule.target = f(1 / norm_safety(recipe));
  backend.normalize(run.update, rule);

  const int64_t n = run.n(), rows = run.rows(), cols = run.cols();
  const bool tall = recipe.ns_transpose && rows > cols;
  const int64_t side = tall ? cols : rows;
  Tensor x = run.update, y = run.workspace.other.slice(0, n * rows * cols).view({n, rows, cols});
  Tensor gram = run.workspace.gram.slice(0, n * side * side).view({n, side, side});
  Tensor polynomial = run.workspace.gram_squared.slice(0, n * side * side).view({n, side, side});
  for (const auto& [a, b, c] : iterations(recipe)) {
    backend.matmul(gram, {x, tall}, {x, !tall});
    backend.matmul_add(polynomial, gram, gram, gram, f(c), f(b));
    if (tall)
      backend.matmul_add(y, x, x, polynomial, 1, f(a));
    else
      backend.matmul_add(y, x, polynomial, x, 1, f(a));
    std::swap(x, y);
  }
  return x;
}

void run(StageRun& x) {
  if (x.recipe.orthogonalizes()) {
    x.update = orthogonalize(x);
  } else if (x.recipe.direction == Direction::sign) {
    x.backend.sign(x.update);
  } else {
    NormalizeRule rule;
    rule.rows = axis_of(x.recipe, x.now.t) == Along::row;
    rule.columns = !rule.rows;
    rule.eps = static_cast<float>(x.recipe.eps);
    rule.eps_mode = eps_of(x.recipe.eps_mode);
    x.backend.normalize(x.update, rule);
  }
}

std::string in_words(const Recipe& r) {
  const std::string& name = choices[static_cast<size_t>(r.direction)];
  if (r.direction != Direction::newton_schulz) return name;
  return fmt::format("{} {} x{}", name, r.ns_coefficients, r.ns_steps);
}

}  // namespace

Along axis_of(const Recipe& recipe, int64_t t) {
  if (recipe.direction == Direction::column_normalize) return Along::column;
  if (recipe.direction == Direction::alternate_axis) return t % 2 == 1 ? Along::column : Along::row;
  return Along::row;
}

bool Recipe::normalizes_axis() const {
  return direction == Direction::row_normalize || direction == Direction::column_normalize ||
         direction == Direction::alternate_axis;
}

const Stage direction_stage = {.name = "direction",
                               .switches = switches,
                               .on = [](const Recipe& r) { return r.direction != Direction::none; },
                               .atom =
                                   [](const Recipe& r) {
                                     return r.direction == Direction::sign            ? Atom::element
                                            : r.direction == Direction::row_normalize ? Atom::row
                                                                                      : Atom::matrix;
                                   },
                               .run = run,
                               .describe = in_words,
                               .workspace =
                                   [](const Recipe& r, int64_t n, int64_t rows, int64_t cols, WorkspaceSize& size) {
                                     if (!r.orthogonalizes()) return;
                                     const int64_t side = r.ns_transpose ? std::min(rows, cols) : rows;
                                     size.other = std::max(size.other, n * rows * cols);
                                     size.gram = std::max(size.gram, n * side * side);
                                   },
                               .fuses = [](const Recipe& r) { return r.normalizes_axis(); }};

}  // namespace rowan
