// The stages of a recipe run on a batch of same-shape matrices, and what the optimizer must know of them.
#pragma once

#include "optim/stage.h"

namespace rowan {

WorkspaceSize workspace_size(const Recipe& recipe, int64_t n, int64_t rows, int64_t cols);

// All stages of the recipe that are on, in order.
void run_stages(Backend& backend, const Recipe& recipe, const Moment& now, const Slots& slots, int64_t rows,
                int64_t cols, Workspace& workspace);

// Values of the second moment that `adapt` keeps for a matrix, other than one for each element.
int64_t factor_count(const Recipe& recipe, int64_t rows, int64_t cols);
// What the factors of `adapt` belong to.
Along adapt_along(const Recipe& recipe);
// What a stage along an alternating axis works on: columns on the first step, rows on the second (Mano).
Along axis_of(const Recipe& recipe, int64_t t);
// Multiplies the step of a parameter [out, in] at step t.
float shape_factor(const Recipe& recipe, int64_t out, int64_t in, int64_t t);
// The Frobenius norm that gives the elements of a step a root mean square of `scale`.
float rms_norm(const Recipe& recipe, int64_t rows, int64_t cols);

MomentumRule momentum_rule(const Recipe& recipe, float grad_scale);
AdamWRule adamw_rule(const Recipe& recipe, const Moment& now);
NormalizedStepRule fused_rule(const Recipe& recipe, const Moment& now);

inline Eps eps_of(Divide divide) { return divide == Divide::add ? Eps::add : Eps::clamp; }

extern const Stage momentum_stage, project_stage, measure_stage, equilibrate_stage, direction_stage, renormalize_stage,
    adapt_stage, scale_stage, apply_stage;
// In the order in which they run.
inline constexpr const Stage* stages[] = {&momentum_stage,    &project_stage,   &measure_stage,
                                          &equilibrate_stage, &direction_stage, &renormalize_stage,
                                          &adapt_stage,       &scale_stage,     &apply_stage};

}  // namespace rowan
