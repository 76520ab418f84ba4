// Computes the direction of the step: the orthogonal factor by Newton-Schulz, normalized rows or columns, or signs.
// With `"shape_scale": "nuclear"` it also computes the number that multiplies the step.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/backend.h"
#include "optim/stages.h"

namespace rowan {
namespace {

bool iterates(const Recipe& r) { return r.direction == Direction::newton_schulz || r.direction == Direction::aurora; }

void switches(Recipe& r, Switches& s) {
  s.choice("direction", r.direction);
  s.when(r.normalizes_axis() || r.project != Project::none,
         "only project and directions that normalize an axis read it; did you mean ns_eps, equilibrate_eps or "
         "adapt_eps?",
         [&] {
           s.number("eps", r.eps, Switches::tiny, 1);
           s.when(r.normalizes_axis(), "only directions that normalize an axis read it",
                  [&] { s.choice("eps_mode", r.eps_mode); });
         });
  s.when(iterates(r), "only directions newton_schulz and aurora have steps and coefficients", [&] {
    s.coefficients(r);
    s.choice("ns_repeat", r.ns_repeat);
    s.flag("ns_gram", r.ns_gram);
    s.when(r.precondition == Precondition::none && !r.shampoo, "with precondition or shampoo the products are in fp32",
           [&] { s.choice("ns_precision", r.ns_precision); });
    s.choice("ns_normalize", r.ns_normalize);
    s.when(r.ns_normalize != Start::aol, "ns_normalize aol needs no safety factor",
           [&] { s.set("ns_safety", r.ns_safety, 0.1, 10); });
  });
  s.when(r.direction == Direction::aurora, "only direction aurora reads it", [&] {
    s.integer("balance_steps", r.balance_steps, 1, 100);
    s.number("balance_exponent", r.balance_exponent, 0, 2);
    s.number("balance_eps", r.balance_eps, Switches::tiny, 1);
  });
  s.when(r.orthogonalizes(), "only directions newton_schulz, polar and aurora read it", [&] {
    s.number("ns_eps", r.ns_eps, Switches::tiny, 1);
    s.when(!iterates(r) || r.ns_normalize != Start::aol, "with ns_normalize aol, ns_eps is always a lower limit",
           [&] { s.choice("ns_eps_mode", r.ns_eps_mode); });
    s.flag("ns_transpose", r.ns_transpose);
  });
}

// Aurora (arXiv 2606.27715): an orthogonal factor whose rows (columns, if the matrix is wide) have nearly equal norms.
// Each round scales the rows of the original update by d and orthogonalizes the result. After each round but the last,
// the row norms of the resulting orthogonal factor correct d.
void aurora(StageRun& x) {
  const Recipe& r = x.recipe;
  const bool tall = x.rows() > x.cols();
  const Along along = tall ? Along::row : Along::column;
  const int64_t k = std::max(x.rows(), x.cols());
  const double aspect = static_cast<double>(std::min(x.rows(), x.cols())) / static_cast<double>(k);
  auto f = [](double value) { return static_cast<float>(value); };
  Tensor original = x.part(x.workspace.kept), spare = x.part(x.workspace.other), work = x.update;
  Tensor d = x.sums(2, k), norms = x.sums(3, k);
  x.backend.copy(original, x.update);
  x.backend.sums_of_squares(d, x.matrices(), along, 1);
  x.backend.power(d, {1, f(r.balance_eps * r.balance_eps), -0.5f});
  for (int64_t round = 0; round < r.balance_steps; ++round) {
    if (round > 0) {
      x.backend.sums_of_squares(norms, x.matrices(), along, 1);
      x.backend.power(norms, {f(std::pow(aspect, r.balance_exponent)), 1e-14f, f(-r.balance_exponent)});
      x.backend.multiply(d, norms);
      x.backend.power(d, {});  // keeps d finite: each round multiplies the d of a row of zeros by a large factor
      x.backend.copy(work, original);
    }
    x.backend.scale_along(work, d, along);
    x.update = orthogonalize(x, work, spare);
    if (x.update.data != work.data) std::swap(work, spare);
  }
}

void run(StageRun& x) {
  const Recipe& r = x.recipe;
  if (r.shape_scale == ShapeScale::nuclear) x.backend.copy(x.part(x.workspace.kept), x.update);
  if (r.direction == Direction::aurora && x.rows() != x.cols()) {
    aurora(x);
  } else if (r.orthogonalizes()) {
    x.update = orthogonalize(x, x.update, x.part(x.workspace.other));
  } else if (r.direction == Direction::sign) {
    x.backend.sign(x.update);
  } else {
    NormalizeRule rule;
    rule.eps = static_cast<float>(r.eps);
    rule.eps_mode = eps_of(r.eps_mode);
    auto along = [&](Along axis) {
      rule.rows = axis == Along::row;
      rule.columns = axis == Along::column;
      x.backend.normalize(x.update, rule);
    };
    const Along last = axis_of(r, x.now.t);
    if (r.direction == Direction::both_axes) along(other_axis(last));
    along(last);
  }
  if (r.shape_scale != ShapeScale::nuclear) return;
  x.factors = x.sums(0, 1);
  x.factors_along = Along::matrix;
  std::vector<Tensor> before;
  for (int64_t i = 0; i < x.n(); ++i) before.push_back(x.part(x.workspace.kept).at(i));
  x.backend.sums_along(x.factors, before, x.matrices(), Along::matrix);
}

std::string in_words(const Recipe& r) {
  const std::string name = name_of(r.direction);
  if (!iterates(r)) return name;
  return fmt::format("{} {} x{}", name, r.ns_coefficients, r.ns_steps);
}

void workspace(const Recipe& r, int64_t n, int64_t rows, int64_t cols, WorkspaceSize& size) {
  if (r.orthogonalizes()) {
    const int64_t side = r.ns_transpose ? std::min(rows, cols) : rows;
    size.other = std::max(size.other, n * rows * cols);
    const int64_t squares = (r.ns_gram ? 2 : 1) * n * side * side;
    size.gram = std::max(size.gram, squares);
    size.gram_squared = std::max(size.gram_squared, squares);
    size.sums_for(4 * n * std::max(rows, cols));
  }
  if (r.shape_scale == ShapeScale::nuclear) size.sums_for(n);
  if (r.shape_scale == ShapeScale::nuclear || r.direction == Direction::aurora)
    size.kept = std::max(size.kept, n * rows * cols);
}

}  // namespace

Along axis_of(const Recipe& recipe, int64_t t) {
  if (recipe.direction == Direction::column_normalize) return Along::column;
  if (recipe.direction == Direction::alternate_axis || recipe.direction == Direction::both_axes)
    return alternating_axis(t);
  return Along::row;
}

bool Recipe::normalizes_axis() const {
  return direction == Direction::row_normalize || direction == Direction::column_normalize ||
         direction == Direction::alternate_axis || direction == Direction::both_axes;
}

const Stage direction_stage = {
    .name = "direction",
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
    .workspace = workspace,
    .fuses = [](const Recipe& r) { return r.normalizes_axis() && r.direction != Direction::both_axes; }};

}  // namespace rowan
