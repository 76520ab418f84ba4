// Hyperball (arXiv 2606.16899): the length of the step is lr times the norm of the weights, and the weights return to
// the sphere they were on. Step, decay and retraction are one pass over the weights; their factors come from three
// sums.
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
  for (OptimizerSlot& slot : slots) slot.scale = 1;  // the size of the update has no effect
  ApplyRule rule;
  rule.lr = 1;
  rule.along = along;
  rule.rounding = x.now.rounding;
  x.backend.apply(x.update, slots, steps, keeps, rule);
}

void check(const Recipe& r, const Refuse& refuse) {
  if (r.retract == Retract::none) return;
  if (r.decay != Decay::plain || r.decay_rate != DecayRate::lr)
    refuse("decay", "retract keeps the weights' norm, so that decay, if any, is plain");
  if (r.step_cap > 0) refuse("step_cap", "retract makes steps as long as lr times the weights");
  if (r.shape_scale != ShapeScale::none || r.radius != 1)
    refuse("shape_scale", "retract makes steps as long as lr times the weights, whatever the size of the update");
  if (r.direction_precision == Precision::bf16) refuse("direction_precision", "retract rounds nothing but the weights");
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
