// Weight decay and the step, in one pass over the weights. Also makes the rules of Backend::adamw and of
// Backend::normalized_step, which replace all stages.
#include <cmath>

#include "kernels/backend.h"
#include "optim/stages.h"

namespace rowan {
namespace {

float f(double x) { return static_cast<float>(x); }

Mask mask_of(const Recipe& r) {
  return r.decay == Decay::cautious          ? Mask::same_sign_or_zero
         : r.decay == Decay::cautious_strict ? Mask::same_sign
                                             : Mask::none;
}

// The decay coefficient, before it is multiplied by the learning rate.
double decay_of(const Recipe& r, double lr) {
  return r.weight_decay * (r.decay_rate == DecayRate::lr_scaled_lr ? lr : 1);
}

ApplyRule apply_rule(const StageRun& x) {
  const Recipe& r = x.recipe;
  ApplyRule rule;
  rule.lr = x.now.lr;
  rule.weight_decay = f(decay_of(r, x.now.lr));
  rule.adaptive_decay = r.decay == Decay::adaptive;
  rule.scaled_decay = r.decay_rate != DecayRate::lr;
  rule.decay_last = r.decay_last;
  rule.mask = mask_of(r);
  if (r.step_cap > 0) rule.cap = f(r.step_cap);
  rule.rounded = r.direction_precision == Precision::bf16;
  rule.along = x.factors_along;
  rule.rounding = x.now.rounding;
  return rule;
}

void check(const Recipe& r, const Refuse& refuse) {
  if (r.decay == Decay::adaptive && !r.scales_rate())
    refuse("decay", "adaptive needs the factors of adapt matrix or column");
  if (r.cautious() && r.direction == Direction::none && r.adapt == Adapt::none &&
      r.precondition == Precondition::none && !r.shampoo)
    refuse("decay", "cautious needs the signs of a direction, but direction, adapt, precondition and shampoo are off");
  if (r.decay == Decay::adaptive && r.decay_rate != DecayRate::lr)
    refuse("decay_rate", "conflicts with adaptive decay, which has a rate of its own");
  if (r.decay_rate != DecayRate::lr && (r.shape_scale == ShapeScale::rms || r.shape_scale == ShapeScale::nuclear))
    refuse("decay_rate", "needs lr with shape_scale rms and nuclear, which have no factor that depends on shape alone");
}

}  // namespace

void decay_switches(Recipe& r, Switches& s) {
  s.choice("decay", r.decay);
  s.choice("decay_rate", r.decay_rate);
}

AdamWRule adamw_rule(const Recipe& r, const Moment& now) {
  const double t = static_cast<double>(now.t), c1 = 1 - std::pow(r.beta1, t), c2 = 1 - std::pow(r.beta2, t);
  AdamWRule rule;
  rule.first = r.beta1;
  rule.second = r.beta2;
  rule.eps = f(r.eps);
  rule.root_scale = f(r.corrected_eps ? 1 / std::sqrt(c2) : 1);
  rule.step = f(r.corrected_eps ? now.lr / c1 : now.lr * std::sqrt(c2) / c1);
  rule.decay = f(decay_of(r, now.lr) * (r.corrected_decay ? now.lr * std::sqrt(c2) / c1 : now.lr));
  rule.mask = mask_of(r);
  rule.grad_scale = now.grad_scale;
  rule.rounding = now.rounding;
  return rule;
}

NormalizedStepRule fused_rule(const Recipe& r, const Moment& now) {
  NormalizedStepRule rule;
  rule.momentum = momentum_rule(r, now);
  rule.along = axis_of(r, now.t);
  rule.project = r.project != Project::none;
  rule.raw = r.raw_weights;
  rule.eps = f(r.eps);
  rule.eps_mode = eps_of(r.eps_mode);
  rule.step = now.lr;
  rule.decay = f(now.lr * r.weight_decay);
  rule.rounding = now.rounding;
  return rule;
}

const Stage apply_stage = {
    .name = "decay",
    .switches = decay_switches,
    .on = [](const Recipe& r) { return r.retract == Retract::none && r.magnitudes == Magnitudes::none; },
    .atom = [](const Recipe&) { return Atom::element; },
    .run = [](StageRun& x) { x.backend.apply(x.update, x.slots, x.factors, {}, apply_rule(x)); },
    .describe = [](const Recipe& r) { return r.decay == Decay::plain ? "" : std::string(name_of(r.decay)) + " decay"; },
    .check = check,
    .fuses =
        [](const Recipe& r) {
          return r.direction_precision != Precision::bf16 && !r.cautious() && r.decay_rate == DecayRate::lr;
        }};

}  // namespace rowan
