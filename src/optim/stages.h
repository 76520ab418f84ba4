// The stages of a recipe, each on a batch of same-shape matrices. A stage reads the recipe's switches and asks the
// backend; what it writes is the `update` tensor [n, out, in], which starts as the momentum and ends as the direction.
#pragma once

#include <vector>

#include "kernels/backend.h"
#include "optim/recipe.h"

namespace rowan {

// What is the same for all matrices of one step.
struct Moment {
  int64_t t = 1;         // step, from 1
  float lr = 0;          // peak times the schedule's multiplier
  float grad_scale = 1;  // multiplies every gradient
  Rounding rounding;
};

// Memory that the stages of a batch share; flat, as large as the largest batch needs. `update` and `other` hold the
// batch, the Gram matrices its smaller side squared, sums f32 3 * n * (out + in).
struct Workspace {
  Tensor update, other, gram, gram_squared, sums;
};

// Elements of each part of a workspace that a batch needs.
struct WorkspaceSize {
  int64_t update = 0, other = 0, gram = 0, sums = 0;
};
WorkspaceSize workspace_size(const Recipe& recipe, int64_t n, int64_t rows, int64_t cols);

// Values of the second moment that `adapt` keeps for a matrix, other than one for each element.
int64_t factor_count(const Recipe& recipe, int64_t rows, int64_t cols);

using Slots = std::vector<OptimizerSlot>;

// What a stage along an alternating axis works on: columns on the first step, rows on the second (Mano).
Along axis_of(const Recipe& recipe, int64_t t);
// Multiplies the step of a parameter [out, in] at step t.
float shape_factor(const Recipe& recipe, int64_t out, int64_t in, int64_t t);

MomentumRule momentum_rule(const Recipe& recipe, float grad_scale);
AdamWRule adamw_rule(const Recipe& recipe, const Moment& now);
NormalizedStepRule fused_rule(const Recipe& recipe, const Moment& now);

void momentum_stage(Backend& backend, const Recipe& recipe, const Moment& now, Tensor update, const Slots& slots);
void project_stage(Backend& backend, const Recipe& recipe, const Moment& now, Tensor update, const Slots& slots);
void equilibrate_stage(Backend& backend, const Recipe& recipe, const Moment& now, Tensor update);
// The result lies in the returned tensor: `update`, or the workspace's `other`.
Tensor direction_stage(Backend& backend, const Recipe& recipe, const Moment& now, Tensor update, Workspace& workspace);
void renormalize_stage(Backend& backend, const Recipe& recipe, Tensor update);
// Factors of the update: f32 [n, k] along `along`, or empty. measure_stage comes before the direction, and leaves the
// norms that adapt_stage reads in the workspace.
void measure_stage(Backend& backend, const Recipe& recipe, const Moment& now, Tensor update, const Slots& slots,
                   Workspace& workspace);
Tensor adapt_stage(Backend& backend, const Recipe& recipe, const Moment& now, Tensor update, const Slots& slots,
                   Workspace& workspace);
// The shape scale that is no factor of the shape alone: rms.
void rescale_stage(Backend& backend, const Recipe& recipe, Tensor update);
void apply_stage(Backend& backend, const Recipe& recipe, const Moment& now, Tensor update, const Slots& slots,
                 Tensor factors);

// update /= its norm, then the iterations of the recipe.
Tensor orthogonalize(Backend& backend, const Recipe& recipe, Tensor update, Workspace& workspace);

// All of them in order.
void run_stages(Backend& backend, const Recipe& recipe, const Moment& now, const Slots& slots, int64_t rows,
                int64_t cols, Workspace& workspace);

}  // namespace rowan
