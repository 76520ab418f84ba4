// Hyperball (arXiv 2606.16899): the length of the step is lr times the norm of the weights. The new weights are scaled
// back to the old norm. This is done for each matrix or each row. Step, decay and retraction are one pass over the
// weights w, with factors from the sums |w|^2, <u, w> and |u|^2, where u is the update.
#include "kernels/backend.h"
#include "optim/stages.h"

namespace rowan {
namespace {

void run(StageRun& x) {
  const Recipe& r = x.recipe;
  const Along along = r.retract == Retract::rows ? Along::row : Along::matrix;
  const int64_t k = count_along(along, x.rows(), x.cols());
  if (!x.factors.empty()) x.backend.scale_along(x.update, x.factors, x.factors_along);
  Tensor steps = x.sums(0, k), keeps = x.sums(1, k), ww = x.sums(2, k), uw = x.sums(3, k), uu = x.sums(4, k);
  x.backend.sums_of_squares(ww, x.weights(), along, 1);
  x.backend.sums_along(uw, x.matrices(), x.weights(), along);
  x.backend.sums_of_squares(uu, x.matrices(), along, 1);
  RetractRule size;
  size.lr = x.now.lr;
  size.decay = static_cast<float>(x.now.lr * r.weight_decay);
  size.eps = static_cast<float>(r.retract_eps);
  x.backend.retract_factors(steps, keeps, ww, uw, uu, {}, size);
  Slots slots = x.slots;
  for (OptimizerSlot& slot : slots) slot.scale = 1;  // the steps do not depend on the size of the update
  ApplyRule rule;
  rule.lr = 1;
  rule.along = along;
  rule.rounding = x.now.rounding;
  x.backend.apply(x.update, slots, steps, keeps, rule);
}

void check(const Recipe& r, const Refuse& refuse) {
  if (r.retract == Retract::none) return;
  if (r.decay != Decay::plain || r.decay_rate != DecayRate::lr)
    refuse("decay", "retract keeps the norm of the weights and allows only plain decay");
  if (r.decay_last)
    refuse("decay_last", "conflicts with retract, which undoes a decay after the step; set it to false");
  if (r.step_cap > 0)
    refuse("step_cap", "conflicts with retract, whose steps have the length lr times the weights' norm");
  if (r.adapt == Adapt::matrix)
    refuse("adapt", "matrix conflicts with retract, whose steps do not depend on the size of the update");
  if (r.shape_scale != ShapeScale::none || r.radius != 1)
    refuse("shape_scale", "conflicts with retract, whose steps do not depend on the size of the update");
  if (r.direction_precision == Precision::bf16)
    refuse("direction_precision", "conflicts with retract, which rounds only the weights");
}

}  // namespace

const Stage retract_stage = {
    .name = "retract",
    .switches =
        [](Recipe& r, Switches& s) {
          s.choice("retract", r.retract);
          s.when(r.retract != Retract::none, "retract is none",
                 [&] { s.number("retract_eps", r.retract_eps, Switches::tiny, 1); });
        },
    .on = [](const Recipe& r) { return r.retract != Retract::none; },
    .atom = [](const Recipe& r) { return r.retract == Retract::rows ? Atom::row : Atom::matrix; },
    .run = run,
    .describe = [](const Recipe& r) { return "retract " + std::string(name_of(r.retract)); },
    .check = check,
    .workspace =
        [](const Recipe& r, int64_t n, int64_t rows, int64_t, WorkspaceSize& size) {
          size.sums_for(5 * n * (r.retract == Retract::rows ? rows : 1) + 2 * n * rows);
        }};

}  // namespace rowan
