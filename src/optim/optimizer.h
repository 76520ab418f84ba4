// Optimizer: one step of every recipe of a config on the shares of the parameters that this process owns.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/arena.h"
#include "optim/column_blocks.h"
#include "optim/config.h"
#include "optim/share.h"
#include "optim/stages.h"
#include "optim/telemetry.h"

namespace rowan {

// A tensor of the optimizer's state, for checkpoints.
struct StateTensor {
  std::string name;  // "<parameter>.<kind>"
  std::string kind;  // momentum, exp_avg, exp_avg_sq, previous_gradient, or what a stage calls it
  const Parameter* parameter = nullptr;
  // Elements of the parameter that the tensor belongs to. count 0: the tensor has a shape of its own (a value per
  // matrix, column or row), and is elements [begin, begin + its own) of the `whole` that the parameter's owners have.
  int64_t begin = 0, count = 0, whole = 0;
  Tensor tensor;
};

// Part [begin, begin + count) of a state tensor of `whole` values that has a shape of its own; count 0: it has not.
struct OwnShape {
  int64_t begin = 0, count = 0, whole = 0;
};

class Optimizer {
 public:
  // Takes all its memory here. Throws Error when a share is no multiple of its recipe's atom, or lacks a gradient.
  Optimizer(Backend& backend, const OptimizerConfig& config, std::vector<Share> shares, uint64_t seed = 0);

  // Of this process's shares, what step() needs of whole parameters; empty when no recipe of the config asks for any.
  // Changes nothing, also when gradients are not finite.
  ParameterSums sums() const;

  // One update, the first of which looks at the weights: throws Error when a recipe cannot move them. `step` counts
  // from 0; the pace is the schedule's, of groups that have none of their own; grad_scale multiplies every gradient
  // (the clipping coefficient); `sums` are added up over all processes that own parts of the parameters.
  void step(int64_t step, const Pace& pace, float grad_scale, const ParameterSums& sums);
  // By a process that owns whole parameters.
  void step(int64_t step, const Pace& pace, float grad_scale) { this->step(step, pace, grad_scale, sums()); }
  // Steps until what they cost repeats, at most 100: some recipes do more every so often.
  int64_t period() const;

  // Figures of the last step, when telemetry_every asks for them (on_log_steps); else empty. They concern the matrices
  // that this process owns whole and that a recipe of stages updates; of a parameter in blocks, the mean of theirs.
  const std::vector<Metric>& telemetry() const { return metrics_; }
  // Whether there are such matrices.
  bool has_telemetry() const;

  // In the order of the shares. The state is zero before the first step, and `step` carries the rest.
  const std::vector<StateTensor>& state() const { return state_; }

 private:
  // Slots of one group that go through the backend together; rows x cols is 0 x 0 when shapes may differ.
  struct Batch {
    const Group* group;
    const Recipe* recipe;
    double rate = 1;  // of its matrices' width
    int64_t rows = 0, cols = 0;
    Slots slots;
    States states;    // what the stages keep beside the momentum
    Slots wholes;     // where the slots are blocks of columns: the matrices that they are of
    Slots corrected;  // MARS: AdamW's slots, whose gradients are the corrected ones
    std::vector<const Parameter*> parameters;
  };
  // A matrix of stages, and the weights that it had before the step.
  struct Watched {
    const Batch* batch;
    size_t slot;
    std::vector<float> before;
  };

  void add(const Share& share);
  // Where the next `together` slots go.
  Batch& batch_for(const Group& group, int64_t rows, int64_t cols, const Share& share, int64_t together = 1);
  Tensor new_state(const Share& share, const char* kind, DType dtype, const OwnShape& own = {});
  void take_workspace();
  void take_columns();
  Tensor update_of(const Batch& batch) const;
  void mars_step(const Batch& batch, const Recipe& recipe, const Moment& now, const ParameterSums& sums);
  std::vector<float> host(Tensor x) const;
  void check_weights() const;
  static std::pair<int64_t, int64_t> shape_of(const Batch& batch, size_t slot);
  static bool is_watched(const Batch& batch, size_t slot);
  std::vector<Watched> watch() const;
  void measure(const std::vector<Watched>& watched, const Moment& now);

  Backend& backend_;
  OptimizerConfig config_;
  uint64_t seed_;
  std::vector<Share> shares_;
  std::vector<StateTensor> state_;
  std::vector<Metric> metrics_;
  std::vector<Batch> batches_;
  std::map<std::string, size_t> open_;  // the batch that still takes slots, by what its slots have in common
  std::map<DType, Workspace> workspaces_;
  ColumnBlocks columns_;
  Arena state_memory_, workspace_memory_;
};

}  // namespace rowan
