// Second moments: factors of the rate from the gradients (NAMO), or of rows and elements from the direction itself.
#include <algorithm>
#include <cmath>

#include "optim/stages.h"

namespace rowan {
namespace {

const Names choices = {"none", "matrix", "column", "row_moment", "element_moment"};

float f(double x) { return static_cast<float>(x); }

bool on(const Recipe& r) { return r.adapt != Adapt::none; }

void switches(Recipe& r, Switches& s) {
  s.choice("adapt", r.adapt, choices);
  s.when(on(r), "adapt is none, so there is no second moment", [&] {
    s.number("beta2", r.beta2, 0, 0.9999999);
    s.number("adapt_eps", r.adapt_eps, Switches::tiny, 1);
  });
  s.when(r.scales_rate(), "adapt is neither matrix nor column", [&] {
    s.flag("adapt_eps_inside", r.adapt_eps_inside);
    s.set("step_cap", r.step_cap, Switches::tiny, 1e30);
  });
  s.when(r.adapt == Adapt::column, "only adapt column has a clamp",
         [&] { s.set("clamp", r.clamp, Switches::tiny, 1); });
}

// Norms of update and gradient before the direction is taken.
void measure(StageRun& x) {
  const int64_t k = factor_count(x.recipe, x.rows(), x.cols());
  std::vector<Tensor> gradients;
  for (const OptimizerSlot& slot : x.slots) gradients.push_back(slot.gradient.view({x.rows(), x.cols()}));
  x.backend.sums_of_squares(x.sums(1, k), x.matrices(), adapt_along(x.recipe), 1);
  x.backend.sums_of_squares(x.sums(2, k), gradients, adapt_along(x.recipe), x.now.grad_scale);
}

void run(StageRun& x) {
  const Recipe& r = x.recipe;
  if (r.adapt == Adapt::element_moment) return x.backend.second_moment(x.update, x.slots, f(r.beta2), f(r.adapt_eps));
  const int64_t k = factor_count(r, x.rows(), x.cols());
  const double t = static_cast<double>(x.now.t);
  AdaptRule rule;
  rule.normuon = r.adapt == Adapt::row_moment;
  rule.beta = f(r.beta2);
  rule.eps = f(r.adapt_eps);
  rule.eps_inside = r.adapt_eps_inside;
  rule.clamp = f(r.clamp);
  rule.width = f(static_cast<double>(x.cols()));
  if (r.shape_scale == ShapeScale::rms) rule.target = rms_norm(r, x.rows(), x.cols());
  rule.bias = f(std::sqrt(1 - std::pow(r.beta2, t)) / (1 - std::pow(r.momentum, t) + 1e-12));
  x.factors = x.sums(0, k);
  if (rule.normuon) x.backend.sums_of_squares(x.sums(1, k), x.matrices(), Along::row, 1);
  x.backend.adaptive_factors(x.factors, x.slots, x.sums(1, k), rule.normuon ? Tensor() : x.sums(2, k), rule);
}

void workspace(const Recipe& r, int64_t n, int64_t rows, int64_t cols, WorkspaceSize& size) {
  size.sums = std::max(size.sums, 3 * n * factor_count(r, rows, cols));
}

}  // namespace

Along adapt_along(const Recipe& recipe) {
  return recipe.adapt == Adapt::matrix ? Along::matrix : recipe.adapt == Adapt::column ? Along::column : Along::row;
}

int64_t factor_count(const Recipe& recipe, int64_t rows, int64_t cols) {
  const Along along = adapt_along(recipe);
  return along == Along::row ? rows : along == Along::column ? cols : 1;
}

const Stage measure_stage = {.name = "measure",
                             .on = [](const Recipe& r) { return r.scales_rate(); },
                             .atom = [](const Recipe&) { return Atom::matrix; },
                             .run = measure};

const Stage adapt_stage = {
    .name = "adapt",
    .switches = switches,
    .on = on,
    .atom = [](const Recipe& r) { return r.adapt == Adapt::element_moment ? Atom::element : Atom::matrix; },
    .run = run,
    .describe = [](const Recipe& r) { return "adapt " + choices[static_cast<size_t>(r.adapt)]; },
    .workspace = workspace};

}  // namespace rowan
