// All stages of recipes, the function that runs them on a batch of matrices of one shape, the scratch memory and state
// that they need, and functions that several stages use.
#pragma once

#include "optim/recipe.h"
#include "optim/stage.h"

namespace rowan {

class Arena;

WorkspaceSize workspace_size(const Recipe& recipe, int64_t n, int64_t rows, int64_t cols);
// The dtype of the update and of its matrix products, if the weights have the dtype `weight`.
DType update_dtype(const Recipe& recipe, DType weight);
// Takes the workspace from `memory`. `update` is the dtype of the updates.
Workspace make_workspace(const WorkspaceSize& size, DType update, Arena& memory);

// Runs all stages of the recipe that are on, in order.
void run_stages(Backend& backend, const Recipe& recipe, const Moment& now, const Slots& slots, const States& states,
                int64_t rows, int64_t cols, Workspace& workspace);

// The state that all stages of the recipe keep for a matrix.
std::vector<StateSpec> state_of(const Recipe& recipe, int64_t rows, int64_t cols);

// The number of values if there is one per row, per column or per matrix: rows, cols or 1.
int64_t count_along(Along along, int64_t rows, int64_t cols);
// The axis of step t (from 1): columns in odd steps, rows in even ones (Mano).
inline Along alternating_axis(int64_t t) { return t % 2 == 1 ? Along::column : Along::row; }
inline Along other_axis(Along axis) { return axis == Along::row ? Along::column : Along::row; }
// The axis that the direction normalizes, or normalizes last.
Along axis_of(const Recipe& recipe, int64_t t);
// The factor that shape_scale and radius give the update of a matrix [out, in] at step t. The factors of shape_scale
// rms and nuclear are left out, because they depend on the update.
float shape_factor(const Recipe& recipe, int64_t out, int64_t in, int64_t t);
// The Frobenius norm of a matrix [rows, cols] whose elements have a root mean square of `scale`.
float rms_norm(const Recipe& recipe, int64_t rows, int64_t cols);

// Whether the preconditioner has a factor for one side of a matrix. `size` is the length of this side, `other` the
// length of the other side.
bool has_side(const Recipe& recipe, int64_t size, int64_t other);
// The dtype in which factors, bases and roots are stored.
DType kept_dtype(const Recipe& recipe);
// The k in MARS's c = g + k (g - previous gradient).
inline float mars_weight(double gamma, double momentum) {
  return static_cast<float>(gamma * momentum / (1 - momentum));
}
// The arguments of Backend::momentum(), adamw() and normalized_step() for the step `now`.
MomentumRule momentum_rule(const Recipe& recipe, const Moment& now);
// The part of a constant gradient that is in the update of forms ema, heavy_ball (in units of its limit) and none at
// step t (from 1), without bias_correction: 1 - c^t with the buffer's coefficient c, or 1 without a buffer.
double momentum_share(const Recipe& recipe, int64_t t);
// Orthogonalizes x [n, out, in]; `spare` is scratch memory of the same size. The result is in x or in `spare`.
Tensor orthogonalize(StageRun& run, Tensor x, Tensor spare);
// The switches of weight decay, which stages and AdamW share.
void decay_switches(Recipe& recipe, Switches& switches);
AdamWRule adamw_rule(const Recipe& recipe, const Moment& now);
NormalizedStepRule fused_rule(const Recipe& recipe, const Moment& now);

inline Eps eps_of(Divide divide) { return divide == Divide::add ? Eps::add : Eps::clamp; }

extern const Stage blocks_stage, magnitudes_stage, variance_stage, momentum_stage, slow_stage, select_stage, soap_stage,
    shampoo_stage, project_stage, measure_stage, equilibrate_stage, direction_stage, renormalize_stage,
    late_momentum_stage, adapt_stage, scale_stage, retract_stage, rejoin_stage, apply_stage;
// All stages, in the order in which they run.
inline constexpr const Stage* stages[] = {
    &blocks_stage,      &magnitudes_stage, &variance_stage,    &momentum_stage,      &slow_stage,
    &select_stage,      &soap_stage,       &shampoo_stage,     &project_stage,       &measure_stage,
    &equilibrate_stage, &direction_stage,  &renormalize_stage, &late_momentum_stage, &adapt_stage,
    &scale_stage,       &retract_stage,    &rejoin_stage,      &apply_stage};

}  // namespace rowan
