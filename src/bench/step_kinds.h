// Kinds of optimizer steps: steps of one kind do the same work. Recipes with a preconditioner do more work in every Nth
// step.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/dry/dry_backend.h"
#include "optim/optimizer.h"

namespace rowan {

struct StepKind {
  int64_t first = 0;  // the first update of this kind in the counted period, counted from 1 as Optimizer::updates()
  int64_t count = 0;  // steps of this kind in one period
  Work work;          // of one such step
};

// Counts the steps of one Optimizer::period() in the middle of a run. Early steps are no measure: the first ones also
// start factors and bases, or do not use them yet. The memory of `optimizer` is in `dry`, whose count of work is reset.
std::vector<StepKind> step_kinds(DryBackend& dry, Optimizer& optimizer);

// Makes an update of this kind. `repeat` counts from 0: each repeat is one period later, so what alternates from step
// to step alternates here, too.
void make_step(Optimizer& optimizer, const StepKind& kind, int64_t repeat);

}  // namespace rowan
