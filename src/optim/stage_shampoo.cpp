// Shampoo as in Meta's DistributedShampoo: from step shampoo_start on, the momentum is multiplied by a power of L, the
// factor of the rows, from the left, and by a power of R, the factor of the columns, from the right. With grafting, the
// result is scaled to the norm of Adam's step, and steps before shampoo_start are Adam's steps.
#include <fmt/format.h>

#include <cmath>

#include "kernels/backend.h"
#include "optim/stages.h"

namespace rowan {
namespace {

float f(double x) { return static_cast<float>(x); }

void switches(Recipe& r, Switches& s) {
  s.flag("shampoo", r.shampoo);
  s.when(r.shampoo, "shampoo is false", [&] {
    s.number("beta2", r.beta2, 0, 0.9999999);
    s.integer("precondition_frequency", r.precondition_frequency, 1, Switches::most_steps);
    s.integer("max_precond_dim", r.max_precond_dim, 1, Switches::most_steps);
    s.flag("one_sided", r.one_sided);
    s.choice("precondition_state", r.precondition_state);
    s.number("precondition_eps", r.precondition_eps, Switches::tiny, 1);
    s.number("shampoo_exponent", r.shampoo_exponent, -1, 0);
    s.integer("shampoo_start", r.shampoo_start, 1, Switches::most_steps);
    s.choice("graft", r.graft);
    s.when(r.graft == Graft::adam, "graft is none", [&] { s.number("graft_eps", r.graft_eps, Switches::tiny, 1); });
  });
}

// root = (factor / correction + eps I)^exponent, by eigendecomposition.
void take_root(StageRun& x, Tensor root, Tensor factor, double correction) {
  const int64_t k = factor.dim(0);
  Tensor values = x.workspace.sums.slice(0, k), q = x.workspace.gram.slice(0, k * k).view({k, k});
  x.backend.eigenvectors({q}, {values}, {factor});
  x.backend.scale(values, f(1 / correction));
  const float eps = f(x.recipe.precondition_eps);
  x.backend.power(values, {1, eps, f(x.recipe.shampoo_exponent / 2), eps});
  x.backend.scale_along(q.view({1, k, k}), values.view({1, k}), Along::column);
  x.backend.matmul(root, q, {q, true}, 1, 0, Result::symmetric);
}

void run(StageRun& x) {
  const Recipe& r = x.recipe;
  const int64_t t = x.now.t, rows = x.rows(), cols = x.cols();
  const double correction = 1 - std::pow(r.beta2, static_cast<double>(t));
  const bool grafted = r.graft == Graft::adam, started = t >= r.shampoo_start;
  const bool roots = t == r.shampoo_start || (t > r.shampoo_start && t % r.precondition_frequency == 0);
  Tensor gradients = x.part(x.workspace.kept), adam = x.part(x.workspace.projected), spare = x.part(x.workspace.other);
  x.backend.momentum(gradients, x.slots, {1, 0, 0, 1, false, x.now.grad_scale});
  if (grafted) {
    x.backend.copy(adam, x.update);
    SecondMomentRule rule;
    rule.second = r.beta2;
    rule.eps = f(r.graft_eps);
    rule.root_scale = f(1 / std::sqrt(correction));
    rule.of_gradient = true;
    rule.grad_scale = x.now.grad_scale;
    x.backend.second_moment(adam, x.with(nullptr, "second_moment"), rule);
  }
  for (bool left : {true, false}) {
    const std::string name = left ? "left" : "right";
    auto factors = x.states.find(name + "_factor");
    if (factors == x.states.end()) continue;
    const int64_t k = left ? rows : cols;
    for (int64_t i = 0; i < x.n(); ++i) {
      Tensor kept_factor = factors->second[i].view({k, k}), kept_root = x.states.at(name + "_root")[i].view({k, k});
      Tensor factor = x.wide(kept_factor, k * k), root = x.wide(kept_root, 2 * k * k);
      Tensor g = gradients.at(i), u = x.update.at(i);
      x.backend.matmul(factor, {g, !left}, {g, left}, f(1 - r.beta2), f(r.beta2), Result::symmetric);
      x.keep(kept_factor, factor);
      if (roots) {
        take_root(x, root, factor, correction);
        x.keep(kept_root, root);
      }
      if (!started) continue;
      if (left)
        x.backend.matmul(spare.at(i), root, u);
      else
        x.backend.matmul(spare.at(i), u, root);
      x.backend.copy(u, spare.at(i));
    }
  }
  if (!grafted) return;
  if (!started) return x.backend.copy(x.update, adam);
  Tensor sizes = x.sums(0, 1), own = x.sums(1, 1);
  std::vector<Tensor> steps;
  for (int64_t i = 0; i < x.n(); ++i) steps.push_back(adam.at(i));
  x.backend.sums_of_squares(sizes, steps, Along::matrix, 1);
  x.backend.sums_of_squares(own, x.matrices(), Along::matrix, 1);
  x.backend.power(sizes, {1, 0, 0.5f});
  x.backend.power(own, {1, 1e-32f, -0.5f});
  x.backend.multiply(sizes, own);
  x.backend.scale_along(x.update, sizes, Along::matrix);
}

void state(const Recipe& r, int64_t rows, int64_t cols, std::vector<StateSpec>& specs) {
  if (r.graft == Graft::adam) specs.push_back({"second_moment"});
  const DType dtype = kept_dtype(r);
  if (has_side(r, rows, cols)) {
    specs.push_back({"left_factor", rows * rows, dtype});
    specs.push_back({"left_root", rows * rows, dtype});
  }
  if (has_side(r, cols, rows)) {
    specs.push_back({"right_factor", cols * cols, dtype});
    specs.push_back({"right_root", cols * cols, dtype});
  }
}

void workspace(const Recipe& r, int64_t n, int64_t rows, int64_t cols, WorkspaceSize& size) {
  const int64_t left = has_side(r, rows, cols) ? rows : 0, right = has_side(r, cols, rows) ? cols : 0;
  size.kept = std::max(size.kept, n * rows * cols);
  size.projected = std::max(size.projected, n * rows * cols);
  size.other = std::max(size.other, n * rows * cols);
  size.gram = std::max(size.gram, (kept_dtype(r) == DType::bf16 ? 3 : 1) * std::max(left * left, right * right));
  size.sums_for(std::max(2 * n, rows + cols));
}

void check(const Recipe& r, const Refuse& refuse) {
  if (!r.shampoo) return;
  if (r.precondition != Precondition::none)
    refuse("shampoo", "conflicts with precondition, which has factors of its own");
  if (r.adapt != Adapt::none) refuse("adapt", "conflicts with shampoo, which takes second moments from its factors");
}

}  // namespace

const Stage shampoo_stage = {
    .name = "shampoo",
    .switches = switches,
    .on = [](const Recipe& r) { return r.shampoo; },
    .atom = [](const Recipe&) { return Atom::matrix; },
    .run = run,
    .describe = [](const Recipe& r) { return fmt::format("shampoo every {}", r.precondition_frequency); },
    .check = check,
    .workspace = workspace,
    .state = state};

}  // namespace rowan
