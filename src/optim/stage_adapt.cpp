// Adaptive scales from second moments. NAMO multiplies the learning rate of a matrix or of each column by a ratio: the
// norm of the update (before the direction stage) over the root of a second moment of the gradient. The other choices
// divide rows, columns or elements of the update by the root of a second moment of the update or of the gradient.
#include <cmath>

#include "kernels/backend.h"
#include "optim/stages.h"

namespace rowan {
namespace {

float f(double x) { return static_cast<float>(x); }

bool on(const Recipe& r) { return r.adapt != Adapt::none; }

bool by_element(const Recipe& r) { return r.adapt == Adapt::element_moment || r.adapt == Adapt::gradient_moment; }

// Whether there is one second moment per row, per column or per matrix. Not for choices with one second moment per
// element.
Along along_of(const Recipe& r, int64_t rows, int64_t cols) {
  if (r.adapt == Adapt::matrix) return Along::matrix;
  if (r.adapt == Adapt::column) return Along::column;
  return r.adapt == Adapt::long_moment && rows < cols ? Along::column : Along::row;
}

void switches(Recipe& r, Switches& s) {
  s.choice("adapt", r.adapt);
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

// For NAMO, fp32[n, k]: the k sums of squares of each update (i = 0) or gradient (i = 1). measure() writes these
// tensors, run() reads them.
Tensor measured(const StageRun& x, int i, int64_t k) {
  return x.workspace.measured.slice(i * x.n() * k, x.n() * k).view({x.n(), k});
}

// Computes the sums of squares of update and gradient before the direction replaces the update.
void measure(StageRun& x) {
  const Along along = along_of(x.recipe, x.rows(), x.cols());
  const int64_t k = count_along(along, x.rows(), x.cols());
  x.backend.sums_of_squares(measured(x, 0, k), x.matrices(), along, 1);
  x.backend.sums_of_squares(measured(x, 1, k), x.gradients(), along, x.now.grad_scale);
}

void run(StageRun& x) {
  const Recipe& r = x.recipe;
  const double t = static_cast<double>(x.now.t);
  if (by_element(r)) {
    SecondMomentRule rule;
    rule.second = r.beta2;
    rule.eps = f(r.adapt_eps);
    rule.of_gradient = r.adapt == Adapt::gradient_moment;
    if (rule.of_gradient) rule.root_scale = f(1 / std::sqrt(1 - std::pow(r.beta2, t)));
    rule.grad_scale = x.now.grad_scale;
    return x.backend.second_moment(x.update, x.with(nullptr, "second_moment"), rule);
  }
  const Along along = along_of(r, x.rows(), x.cols());
  const int64_t k = count_along(along, x.rows(), x.cols());
  AdaptRule rule;
  rule.normuon = !r.scales_rate();
  rule.second = r.beta2;
  rule.eps = f(r.adapt_eps);
  rule.eps_inside = r.adapt_eps_inside;
  rule.clamp = f(r.clamp);
  rule.width = f(static_cast<double>(along == Along::row ? x.cols() : x.rows()));
  if (r.shape_scale == ShapeScale::rms) rule.target = rms_norm(r, x.rows(), x.cols());
  rule.bias = f(std::sqrt(1 - std::pow(r.beta2, t)) / (momentum_share(r, x.now.t) + 1e-12));
  x.factors = x.sums(0, k);
  x.factors_along = along;
  const Slots slots = x.with(nullptr, "second_moment");
  if (!rule.normuon) return x.backend.adaptive_factors(x.factors, slots, measured(x, 0, k), measured(x, 1, k), rule);
  x.backend.sums_of_squares(x.sums(1, k), x.matrices(), along, 1);
  x.backend.adaptive_factors(x.factors, slots, x.sums(1, k), {}, rule);
}

void check(const Recipe& r, const Refuse& refuse) {
  if (!r.scales_rate()) return;
  if (r.form != Form::ema && r.form != Form::heavy_ball && r.form != Form::none)
    refuse("form", "adapt matrix and column correct the bias of ema and heavy_ball, and go with these and with none");
  if (r.bias_correction)
    refuse("bias_correction", "conflicts with adapt matrix and column, which correct the same bias");
  if (r.momentum_moves())
    refuse("momentum",
           "found a schedule, which conflicts with adapt matrix and column: their correction of the bias "
           "assumes a constant coefficient");
}

int64_t values(const Recipe& r, int64_t rows, int64_t cols) {
  return by_element(r) ? 0 : count_along(along_of(r, rows, cols), rows, cols);
}

}  // namespace

const Stage measure_stage = {.name = "measure",
                             .on = [](const Recipe& r) { return r.scales_rate(); },
                             .atom = [](const Recipe&) { return Atom::matrix; },
                             .run = measure,
                             .workspace = [](const Recipe& r, int64_t n, int64_t rows, int64_t cols,
                                             WorkspaceSize& size) { size.measured = 2 * n * values(r, rows, cols); }};

const Stage adapt_stage = {.name = "adapt",
                           .switches = switches,
                           .on = on,
                           .atom = [](const Recipe& r) { return by_element(r) ? Atom::element : Atom::matrix; },
                           .run = run,
                           .describe = [](const Recipe& r) { return "adapt " + std::string(name_of(r.adapt)); },
                           .check = check,
                           .workspace = [](const Recipe& r, int64_t n, int64_t rows, int64_t cols,
                                           WorkspaceSize& size) { size.sums_for(2 * n * values(r, rows, cols)); },
                           .state =
                               [](const Recipe& r, int64_t rows, int64_t cols, std::vector<StateSpec>& specs) {
                                 specs.push_back({"second_moment", values(r, rows, cols)});
                               }};

}  // namespace rowan
