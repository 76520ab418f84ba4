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
#include "optim/stage.h"
#include "optim/telemetry.h"

namespace rowan {

// A tensor of the optimizer's state, for checkpoints.
struct StateTensor {
  std::string name;  // "<parameter>.<kind>"
  std::string kind;  // momentum, exp_avg, exp_avg_sq, previous_gradient, or a stage's own name
  const Parameter* parameter = nullptr;
  // Elements [begin, begin + count) of the parameter. count 0: the tensor has a shape of its own (one value per matrix,
  // column or row). It is then elements [begin, begin + its own) of `whole` values that all owners of the parameter
  // hold together.
  int64_t begin = 0, count = 0, whole = 0;
  Tensor tensor;
};

// Part [begin, begin + count) of a state tensor of `whole` values with a shape of its own; count 0: it has none.
struct OwnShape {
  int64_t begin = 0, count = 0, whole = 0;
};

class Optimizer {
 public:
  // Allocates all its memory here. Throws Error if a share is not a multiple of its recipe's atom, or lacks a gradient.
  Optimizer(Backend& backend, const OptimizerConfig& config, std::vector<Share> shares, uint64_t seed = 0);

  // The sums over this process's shares that step() needs of whole parameters; empty if no recipe needs any. Changes
  // nothing, even if gradients are not finite.
  ParameterSums sums() const;

  // Makes one update. The first one checks the weights and throws Error if a recipe cannot move them. `step` counts
  // from 0. `pace` is that of the main schedule; groups may have their own. grad_scale multiplies every gradient (the
  // clipping coefficient). `sums` are added up over all processes that own parts of the parameters.
  void step(int64_t step, const Pace& pace, float grad_scale, const ParameterSums& sums);
  // The same for a process that owns whole parameters.
  void step(int64_t step, const Pace& pace, float grad_scale) { this->step(step, pace, grad_scale, sums()); }
  // The number of steps, at most 100, after which the costs of a step repeat; some recipes do more work every so often.
  int64_t period() const;

  // Telemetry of the last step if telemetry_every asks for it (on_log_steps), else empty. It covers matrices that this
  // process owns whole and updates by stages. For a parameter in blocks it is the mean over the blocks.
  const std::vector<Metric>& telemetry() const { return metrics_; }
  // Whether this process owns such matrices.
  bool has_telemetry() const;

  // All state tensors, in the order of the shares. They are zero before the first step.
  const std::vector<StateTensor>& state() const { return state_; }

 private:
  // Slots of one group that are processed together; rows x cols is 0 x 0 if their shapes may differ.
  struct Batch {
    const Group* group;
    const Recipe* recipe;
    double rate = 1;  // rate factor for the width of its matrices
    int64_t rows = 0, cols = 0;
    Slots slots;
    States states;    // state of the stages other than the momentum
    Slots wholes;     // if the slots are blocks of columns: the matrices of these blocks
    Slots corrected;  // MARS: AdamW's slots with the corrected gradients
    std::vector<const Parameter*> parameters;
  };
  // A matrix updated by stages, and its weights before the step.
  struct Watched {
    const Batch* batch;
    size_t slot;
    std::vector<float> before;
  };

  void add(const Share& share);
  // The batch for the next `together` slots.
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
  std::map<std::string, size_t> open_;  // the batch that still accepts slots, by the common properties of its slots
  std::map<DType, Workspace> workspaces_;
  ColumnBlocks columns_;
  Arena state_memory_, workspace_memory_;
};

}  // namespace rowan
