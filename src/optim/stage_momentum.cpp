// The momentum buffer, and the update made from it.
#include <fmt/format.h>

#include <cmath>

#include "kernels/backend.h"
#include "optim/stages.h"

namespace rowan {
namespace {

float f(double x) { return static_cast<float>(x); }

bool averages(const Recipe& r) { return r.form == Form::ema || r.form == Form::lion || r.form == Form::nadam; }

void switches(Recipe& r, Switches& s) {
  s.choice("form", r.form);
  s.when(r.form != Form::sum && r.form != Form::none, "form is sum or none, which have no coefficient",
         [&] { s.momentum(r); });
  s.when(r.form == Form::ema || r.form == Form::lion, "only forms ema and lion read it",
         [&] { s.number("beta", r.beta, 0, 0.9999999); });
  s.when(r.form == Form::ema || r.form == Form::heavy_ball, "only forms ema and heavy_ball read it",
         [&] { s.flag("nesterov", r.nesterov); });
  s.when(r.form == Form::ema, "only form ema has a bias to correct",
         [&] { s.flag("bias_correction", r.bias_correction); });
  s.when(r.form == Form::nadam, "only form nadam reads it",
         [&] { s.number("momentum_decay", r.momentum_decay, 0, 1); });
  s.when(r.form == Form::ema || r.form == Form::heavy_ball, "only forms ema and heavy_ball read it",
         [&] { s.flag("momentum_last", r.momentum_last); });
}

std::string in_words(const Recipe& r) {
  const std::string name = name_of(r.form);
  if (r.form == Form::sum || r.form == Form::none) return name == "none" ? "" : name;
  return fmt::format("{} {}{}{}", name, r.form == Form::ema && !r.nesterov ? r.beta : r.momentum,
                     averages(r) && r.form != Form::ema ? ""
                     : r.nesterov                       ? " nesterov"
                                                        : "",
                     r.momentum_last ? " of directions" : "");
}

// mu_t = momentum (1 - 0.96^(t psi) / 2), where psi is momentum_decay. Products of the mu_t correct the bias of the
// buffer (Dozat 2016, as in torch).
void nadam(const Recipe& r, int64_t t, MomentumRule& rule) {
  auto mu = [&](int64_t step) {
    return r.momentum * (1 - 0.5 * std::pow(0.96, static_cast<double>(step) * r.momentum_decay));
  };
  // The product of mu_1 to mu_t is kept between calls, so that the next step only multiplies it by one more factor.
  thread_local double momentum = 0, decay = 0, product = 1;
  thread_local int64_t factors = 0;
  if (momentum != r.momentum || decay != r.momentum_decay || t < factors)
    momentum = r.momentum, decay = r.momentum_decay, product = 1, factors = 0;
  while (factors < t) product *= mu(++factors);
  rule.from_buffer = f(mu(t + 1) / (1 - product * mu(t + 1)));
  rule.from_gradient = f((1 - mu(t)) / (1 - product));
}

// Whether a factor of the momentum's update has no effect on the step.
bool ignores_size(const Recipe& r) {
  return r.direction != Direction::none && r.slow_beta == 0 && r.precondition == Precondition::none && !r.shampoo &&
         !r.scales_rate() && r.shape_scale != ShapeScale::nuclear;
}

void check(const Recipe& r, const Refuse& refuse) {
  if (r.form == Form::lion && r.direction != Direction::sign) refuse("form", "lion needs direction sign");
  if (r.momentum_last && r.bias_correction)
    refuse("momentum_last", "conflicts with bias_correction, which needs an average of gradients");
  if (r.bias_correction && r.momentum_moves())
    refuse("momentum", "found a schedule, which conflicts with bias_correction: it assumes a constant coefficient");
  if (r.form == Form::nadam && r.momentum_course.from > 0)
    refuse("momentum",
           "found a schedule, which conflicts with form nadam: the products of its own schedule assume a constant "
           "coefficient");
  if (r.bias_correction && ignores_size(r))
    refuse("bias_correction", fmt::format("has no effect here: direction {} does not depend on the size of the update",
                                          std::string(name_of(r.direction))));
}

}  // namespace

MomentumRule momentum_rule(const Recipe& r, const Moment& now) {
  MomentumRule rule;
  rule.grad_scale = now.grad_scale;
  rule.keep = f(r.form == Form::heavy_ball ? r.momentum : r.form == Form::nadam ? r.momentum : r.beta);
  rule.take = f(r.form == Form::heavy_ball ? 1 : r.form == Form::nadam ? 1 - r.momentum : 1 - r.beta);
  if (r.form == Form::sum) rule.keep = rule.take = 1;
  if (r.form == Form::none) rule.keep = 1, rule.take = 0;
  rule.previous = r.form == Form::lion;
  const bool look_ahead = (r.nesterov && (r.form == Form::ema || r.form == Form::heavy_ball)) || r.form == Form::lion;
  rule.from_buffer = f(look_ahead ? r.momentum : 1);
  rule.from_gradient = f(!look_ahead ? 0 : r.form == Form::heavy_ball ? 1 : 1 - r.momentum);
  if (r.form == Form::nadam) nadam(r, now.t, rule);
  if (r.skips_first() && now.t == 1) return {1, 0, 0, 0, false, now.grad_scale};
  if (r.form == Form::none) rule.from_buffer = 0, rule.from_gradient = 1;
  if (r.form == Form::ema && r.bias_correction) {
    const double correction = 1 - std::pow(r.beta, static_cast<double>(now.t - r.skips_first()));
    rule.from_buffer = f(rule.from_buffer / correction);
    rule.from_gradient = f(rule.from_gradient / correction);
  }
  return rule;
}

double momentum_share(const Recipe& r, int64_t t) {
  if (r.form == Form::none) return 1;
  return 1 - std::pow(r.form == Form::ema ? r.beta : r.momentum, static_cast<double>(t));
}

const Stage momentum_stage = {.name = "momentum",
                              .switches = switches,
                              .on = [](const Recipe&) { return true; },
                              .atom = [](const Recipe&) { return Atom::element; },
                              .run =
                                  [](StageRun& x) {
                                    MomentumRule rule = momentum_rule(x.recipe, x.now);
                                    if (x.recipe.momentum_last) rule = {1, 0, 0, 1, false, x.now.grad_scale};
                                    x.backend.momentum(x.update, x.slots, rule);
                                  },
                              .describe = in_words,
                              .check = check,
                              .fuses = [](const Recipe& r) { return !r.momentum_last; }};

// With momentum_last, the momentum buffer averages the directions that earlier stages computed from the gradients.
const Stage late_momentum_stage = {.name = "late momentum",
                                   .on = [](const Recipe& r) { return r.momentum_last; },
                                   .atom = [](const Recipe&) { return Atom::element; },
                                   .run =
                                       [](StageRun& x) {
                                         Moment now = x.now;
                                         now.grad_scale = 1;
                                         Slots directions = x.slots;
                                         for (size_t i = 0; i < directions.size(); ++i)
                                           directions[i].gradient = x.update.at(static_cast<int64_t>(i));
                                         x.backend.momentum(x.update, directions, momentum_rule(x.recipe, now));
                                       }};

}  // namespace rowan
