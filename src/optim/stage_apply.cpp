// Weight decay and the step itself, in one pass over the weights; and the operations that do all of a recipe at once.
#include <cmath>

#include "optim/stages.h"

namespace rowan {
namespace {

const Names decays = {"plain", "adaptive"};

float f(double x) { return static_cast<float>(x); }

void run(StageRun& x) {
  const Recipe& r = x.recipe;
  ApplyRule rule;
  rule.lr = x.now.lr;
  rule.weight_decay = f(r.weight_decay);
  rule.adaptive_decay = r.decay == Decay::adaptive;
  if (r.step_cap > 0) rule.cap = f(r.step_cap);
  rule.rounded = r.direction_precision == Precision::bf16;
  rule.along = adapt_along(r);
  rule.rounding = x.now.rounding;
  x.backend.apply(x.update, x.slots, x.factors, rule);
}

}  // namespace

AdamWRule adamw_rule(const Recipe& r, const Moment& now) {
  const double t = static_cast<double>(now.t), c1 = 1 - std::pow(r.beta1, t), c2 = 1 - std::pow(r.beta2, t);
  AdamWRule rule;
  rule.beta1 = f(r.beta1);
  rule.beta2 = f(r.beta2);
  rule.eps = f(r.eps);
  rule.root_scale = f(r.corrected_eps ? 1 / std::sqrt(c2) : 1);
  rule.step = f(r.corrected_eps ? now.lr / c1 : now.lr * std::sqrt(c2) / c1);
  rule.decay = f(r.weight_decay * (r.corrected_decay ? now.lr * std::sqrt(c2) / c1 : now.lr));
  rule.grad_scale = now.grad_scale;
  rule.rounding = now.rounding;
  return rule;
}

NormalizedStepRule fused_rule(const Recipe& r, const Moment& now) {
  NormalizedStepRule rule;
  rule.momentum = momentum_rule(r, now.grad_scale);
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
    .switches = [](Recipe& r, Switches& s) { s.choice("decay", r.decay, decays); },
    .on = [](const Recipe&) { return true; },
    .atom = [](const Recipe&) { return Atom::element; },
    .run = run,
    .describe = [](const Recipe& r) { return std::string(r.decay == Decay::adaptive ? "adaptive decay" : ""); },
    .check =
        [](const Recipe& r, const Refuse& refuse) {
          if (r.decay == Decay::adaptive && !r.scales_rate())
            refuse("decay",
                   "adaptive decay is multiplied by the factors of adapt matrix or column, and adapt is neither");
        },
    .fuses = [](const Recipe& r) { return r.direction_precision != Precision::bf16; }};

}  // namespace rowan
