// Muown (arXiv 2605.10797): a row w_i is a magnitude s_i times the unit vector v_i / l_i, where l_i is the norm of v_i.
// split() computes Adam's step of the magnitudes. The stages between split() and join() compute the direction in which
// the v_i move. join() applies the step and the direction to the weights. A magnitude may become negative; its row then
// points against v_i.
#include <cmath>

#include "kernels/backend.h"
#include "optim/stages.h"

namespace rowan {
namespace {

float f(double x) { return static_cast<float>(x); }

void switches(Recipe& r, Switches& s) {
  s.choice("magnitudes", r.magnitudes);
  s.when(r.magnitudes != Magnitudes::none, "magnitudes is none", [&] {
    s.number("magnitude_beta", r.magnitude_beta, 0, 0.9999999);
    s.number("beta2", r.beta2, 0, 0.9999999);
    s.number("magnitude_eps", r.magnitude_eps, Switches::tiny, 1);
  });
}

// gathered() copies one kind of state of all matrices into one tensor fp32[n, rows]; scattered() copies it back.
Tensor gathered(StageRun& x, const char* kind, int place) {
  Tensor all = x.sums(place, x.rows());
  for (int64_t i = 0; i < x.n(); ++i) x.backend.copy(all.at(i), x.states.at(kind)[i]);
  return all;
}

void scattered(StageRun& x, const char* kind, const Tensor& all) {
  for (int64_t i = 0; i < x.n(); ++i) x.backend.copy(x.states.at(kind)[i], all.at(i));
}

// Replaces each x by 1 / x with the sign of x, where |x| counts as at least `floor`.
void invert(StageRun& x, Tensor values, float floor) { x.backend.power(values, {1, floor, -1, 0, true}); }

void row_lengths(StageRun& x, Tensor to) {
  x.backend.sums_of_squares(to, x.weights(), Along::row, 1);
  x.backend.power(to, {1, 0, 0.5f});
}

// Replaces the gradients of the weights by the gradients of the vectors v_i. Computes Adam's step of the magnitudes,
// which join() applies.
void split(StageRun& x) {
  Tensor gradients = x.part(x.workspace.gradients);
  x.backend.momentum(gradients, x.slots, {1, 0, 0, 1, false, x.now.grad_scale});
  if (x.now.t == 1) {
    Tensor lengths = x.sums(0, x.rows());
    row_lengths(x, lengths);
    scattered(x, "magnitude", lengths);
    scattered(x, "length", lengths);
  }
  x.take_gradients(gradients);

  // The gradient of s is ds_i = <g_i, w_i> / s_i.
  Tensor inverse = gathered(x, "magnitude", 0), ds = x.sums(1, x.rows());
  invert(x, inverse, 1e-12f);
  x.backend.sums_along(ds, x.gradients(), x.weights(), Along::row);
  x.backend.multiply(ds, inverse);
  Slots slots = x.with("magnitude_exp_avg", "magnitude_exp_avg_sq");
  for (int64_t i = 0; i < x.n(); ++i) {
    slots[i].gradient = ds.at(i);
    slots[i].weight = ds.at(i);
  }
  const double t = static_cast<double>(x.now.t);
  Tensor step = x.sums(2, x.rows()).view({x.n(), 1, x.rows()});
  x.backend.momentum(step, slots,
                     {f(x.recipe.magnitude_beta), f(1 - x.recipe.magnitude_beta),
                      f(1 / (1 - std::pow(x.recipe.magnitude_beta, t))), 0});
  SecondMomentRule rule;
  rule.second = x.recipe.beta2;
  rule.eps = f(x.recipe.magnitude_eps);
  rule.root_scale = f(1 / std::sqrt(1 - std::pow(x.recipe.beta2, t)));
  rule.of_gradient = true;
  x.backend.second_moment(step, slots, rule);
  x.backend.scale(step, -x.now.lr);
  for (int64_t i = 0; i < x.n(); ++i) x.backend.copy(x.states.at("magnitude_step")[i], step.at(i).view({x.rows()}));

  // The gradient of v is dv_i = (s_i / l_i) (g_i - <g_i, w_i> w_i / |w_i|^2).
  x.backend.project(gradients, x.slots, {Along::row, false, 1e-12f});
  Tensor ratio = gathered(x, "length", 2);
  invert(x, ratio, 1e-12f);
  invert(x, inverse, 1e-30f);
  x.backend.multiply(ratio, inverse);
  x.backend.scale_along(gradients, ratio, Along::row);
}

// Without decay, w' = s' v' / |v'| with v' = (l / s) (w - (s / l) lr f O), for each row. w, s, v and l are named as at
// the top of this file. O is the direction and f the shape factor. A prime marks values after the step.
void join(StageRun& x) {
  const Recipe& r = x.recipe;
  Tensor steps = x.sums(0, x.rows()), keeps = x.sums(1, x.rows()), ww = x.sums(2, x.rows()), uw = x.sums(3, x.rows()),
         uu = x.sums(4, x.rows());
  x.backend.sums_of_squares(ww, x.weights(), Along::row, 1);
  x.backend.sums_along(uw, x.matrices(), x.weights(), Along::row);
  x.backend.sums_of_squares(uu, x.matrices(), Along::row, 1);
  Tensor before = gathered(x, "magnitude", 5), ratio = gathered(x, "length", 6), after = gathered(x, "magnitude", 7);
  x.backend.add(after, gathered(x, "magnitude_step", 0));
  const float decay = f(double{x.now.lr} * r.weight_decay);
  if (r.magnitudes == Magnitudes::magnitude) x.backend.scale(after, 1 - decay);
  invert(x, ratio, 1e-12f);
  x.backend.multiply(ratio, before);  // s / l
  x.backend.copy(steps, ratio);
  x.backend.scale(steps, x.now.lr * x.slots[0].scale);
  RetractRule rule{};
  rule.eps = 1e-30f;
  rule.given = true;
  x.backend.retract_factors(steps, keeps, ww, uw, uu, after, rule);
  // retract_factors() divides by |v'| |s| / l, which lacks the sign of s.
  Tensor sign = before;
  x.backend.power(sign, {1, 1e-30f, 0, 0, true});
  x.backend.multiply(steps, sign);
  x.backend.multiply(keeps, sign);
  // The length of v' is l' = (l / s) s' / q, where q is the factor of w in `keeps`.
  Tensor length = before;
  x.backend.copy(length, keeps);
  x.backend.multiply(length, ratio);
  invert(x, length, 1e-30f);
  x.backend.multiply(length, after);
  scattered(x, "length", length);
  const bool whole = r.magnitudes == Magnitudes::weights && r.weight_decay > 0;
  if (whole) x.backend.power(keeps, {1, 0, 1, -decay, true});
  ApplyRule apply;
  apply.lr = 1;
  apply.along = Along::row;
  apply.rounding = x.now.rounding;
  for (OptimizerSlot& slot : x.slots) slot.scale = 1;
  x.backend.apply(x.update, x.slots, steps, keeps, apply);
  if (whole) row_lengths(x, after);
  scattered(x, "magnitude", after);
}

void check(const Recipe& r, const Refuse& refuse) {
  if (r.magnitudes == Magnitudes::none) return;
  if (r.retract != Retract::none)
    refuse("retract", "conflicts with magnitudes, which put each row on a sphere of its own");
  if (r.adapt != Adapt::none || r.shape_scale == ShapeScale::nuclear)
    refuse("magnitudes",
           "conflicts with adapt and with shape_scale nuclear: the step with magnitudes does not use their factors");
  if (r.decay != Decay::plain || r.decay_rate != DecayRate::lr || r.decay_last)
    refuse("decay", "conflicts with magnitudes, whose value chooses what decays");
  if (r.direction_precision == Precision::bf16)
    refuse("direction_precision", "conflicts with magnitudes, whose step rounds only the weights");
  if (r.momentum_last) refuse("momentum_last", "conflicts with magnitudes, whose momentum buffer averages gradients");
}

void state(const Recipe&, int64_t rows, int64_t, std::vector<StateSpec>& specs) {
  for (const char* kind : {"magnitude", "length", "magnitude_step", "magnitude_exp_avg", "magnitude_exp_avg_sq"})
    specs.push_back({kind, rows});
}

}  // namespace

const Stage magnitudes_stage = {.name = "magnitudes",
                                .switches = switches,
                                .on = [](const Recipe& r) { return r.magnitudes != Magnitudes::none; },
                                .atom = [](const Recipe&) { return Atom::matrix; },
                                .run = split,
                                .describe = [](const Recipe&) { return std::string("magnitudes and vectors of rows"); },
                                .check = check,
                                .workspace =
                                    [](const Recipe&, int64_t n, int64_t rows, int64_t cols, WorkspaceSize& size) {
                                      size.gradients = n * rows * cols;
                                      size.sums_for(8 * n * rows);
                                    },
                                .state = state};

const Stage rejoin_stage = {.name = "rejoin",
                            .on = [](const Recipe& r) { return r.magnitudes != Magnitudes::none; },
                            .atom = [](const Recipe&) { return Atom::matrix; },
                            .run = join};

}  // namespace rowan
