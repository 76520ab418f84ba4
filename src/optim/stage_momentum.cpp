// The buffer of gradients, and the update that is made of it.
#include <fmt/format.h>

#include "optim/stages.h"

namespace rowan {
namespace {

const Names forms = {"ema", "heavy_ball", "lion"};

void switches(Recipe& r, Switches& s) {
  s.choice("form", r.form, forms);
  s.number("momentum", r.momentum, 0, 0.9999999);
  s.when(r.form != Form::heavy_ball, "a heavy-ball buffer is multiplied by momentum itself",
         [&] { s.number("beta", r.beta, 0, 0.9999999); });
  s.when(r.form != Form::lion, "lion looks ahead by its own rule", [&] { s.flag("nesterov", r.nesterov); });
}

std::string in_words(const Recipe& r) {
  return fmt::format("{} {}{}", forms[static_cast<size_t>(r.form)], r.momentum,
                     r.nesterov && r.form != Form::lion ? " nesterov" : "");
}

}  // namespace

MomentumRule momentum_rule(const Recipe& r, float grad_scale) {
  auto f = [](double x) { return static_cast<float>(x); };
  MomentumRule rule;
  rule.grad_scale = grad_scale;
  rule.keep = f(r.form == Form::heavy_ball ? r.momentum : r.beta);
  rule.take = f(r.form == Form::heavy_ball ? 1 : 1 - r.beta);
  rule.previous = r.form == Form::lion;
  const bool look_ahead = r.nesterov || r.form == Form::lion;
  rule.from_buffer = f(look_ahead ? r.momentum : 1);
  rule.from_gradient = f(!look_ahead ? 0 : r.form == Form::heavy_ball ? 1 : 1 - r.momentum);
  return rule;
}

const Stage momentum_stage = {
    .name = "momentum",
    .switches = switches,
    .on = [](const Recipe&) { return true; },
    .atom = [](const Recipe&) { return Atom::element; },
    .run = [](StageRun& x) { x.backend.momentum(x.update, x.slots, momentum_rule(x.recipe, x.now.grad_scale)); },
    .describe = in_words,
    .check =
        [](const Recipe& r, const Refuse& refuse) {
          if (r.form == Form::lion && r.direction != Direction::sign)
            refuse("form", "lion's two mixtures of the gradient belong to direction sign");
        },
    .fuses = [](const Recipe&) { return true; }};

}  // namespace rowan
