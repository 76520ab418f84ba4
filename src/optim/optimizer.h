// Optimizer: updates the shares of parameters that this process owns, each by the recipe of its group.
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
  std::string kind;  // momentum, exp_avg, exp_avg_sq, previous_gradient, or a kind that a stage declares
  const Parameter* parameter = nullptr;
  // The tensor has one value for each of the elements [begin, begin + count) of the parameter. If count is 0, the state
  // has another shape, such as one value per row. All owners of the parameter together then hold `whole` values, and
  // the tensor holds values [begin, begin + tensor.numel()) of these.
  int64_t begin = 0, count = 0, whole = 0;
  Tensor tensor;
};

// For optimizer state whose shape is not the parameter's: the share has values [begin, begin + count) of the `whole`
// values. If count is 0, the state has one value per element of the parameter.
struct OwnShape {
  int64_t begin = 0, count = 0, whole = 0;
};

class Optimizer {
 public:
  // The constructor allocates all memory. Throws Error if a share lacks a weight or gradient, or has tensors of wrong
  // sizes, or cuts a part that its recipe must see whole (Atom), or if no recipe fits its parameter.
  Optimizer(Backend& backend, const OptimizerConfig& config, std::vector<Share> shares, uint64_t seed = 0);

  // MARS's AdamW needs sums over whole parameters. Returns the sums over this process's shares, or an empty map if no
  // group uses MARS's AdamW. Changes no state, even if gradients are not finite.
  ParameterSums sums() const;

  // Makes one update. `step` counts from 0, and includes steps whose update was skipped. The first update throws Error
  // if a matrix is zero and its recipe would keep it zero.
  // `pace` is the main schedule's Pace for this step; a group may have its own schedule. grad_scale, the clipping
  // coefficient, multiplies every gradient. `sums` are the results of sums(), added over all processes.
  void step(int64_t step, const Pace& pace, float grad_scale, const ParameterSums& sums);
  // For a process that owns whole parameters: it needs no sums of other processes.
  void step(int64_t step, const Pace& pace, float grad_scale) { this->step(step, pace, grad_scale, sums()); }
  // The largest precondition_frequency of the recipes in use, at most 100; 1 if none has a preconditioner. Callers
  // average the cost of a step over this many steps.
  int64_t period() const;

  // Telemetry of the last step, or empty if on_log_steps() is false for that step. It covers the matrices that AdamW
  // does not update, if this process owns the whole matrix or whole blocks of it. The metrics of a matrix in blocks are
  // means over the blocks that this process owns.
  const std::vector<Metric>& telemetry() const { return metrics_; }
  // The number of updates made. Bias corrections, and initializations by the first gradient, depend on this number.
  int64_t updates() const { return updates_; }
  // For a run that continues with restored state().
  void set_updates(int64_t updates) { updates_ = updates; }
  // Whether this process owns matrices that telemetry covers.
  bool has_telemetry() const;

  // All state tensors, in the order of the shares. They are zero before the first step.
  const std::vector<StateTensor>& state() const { return state_; }

 private:
  // Slots of one group that are processed together; rows x cols is 0 x 0 if their shapes may differ.
  struct Batch {
    const Group* group;
    const Recipe* recipe;
    std::shared_ptr<const Recipe> current;  // the recipe with the values of the current step (Recipe::at)
    double rate = 1;  // factor on the learning rate, from the width of the matrices (Recipe::width_factor)
    int64_t rows = 0, cols = 0;
    Slots slots;
    States states;    // state of the stages, without the momentum
    Slots wholes;     // if the slots are blocks of columns: the matrices that contain these blocks
    Slots corrected;  // for MARS's AdamW: the slots that AdamW updates; mars_step() sets their gradients
    std::vector<const Parameter*> parameters;
  };
  // A matrix that telemetry covers, and its weights before the step.
  struct Watched {
    const Batch* batch;
    size_t slot;
    std::vector<float> before;
  };

  void add(const Share& share);
  // The batch to which the next `together` slots are to be added.
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
  int64_t updates_ = 0;
  std::vector<Share> shares_;
  std::vector<StateTensor> state_;
  std::vector<Metric> metrics_;
  std::vector<Batch> batches_;
  // Maps the properties that all slots of a batch have in common to the index of the batch that still takes slots.
  std::map<std::string, size_t> open_;
  std::map<DType, Workspace> workspaces_;
  ColumnBlocks columns_;
  Arena state_memory_, workspace_memory_;
};

}  // namespace rowan
