// Stage: one operation in a recipe's update. Each stage defines its switches, when a recipe uses it, the smallest part
// of a parameter that it can process, the state that it keeps, and what it does to a batch of matrices of one shape.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/names.h"
#include "kernels/optimizer_rules.h"
#include "optim/share.h"

namespace rowan {

class Backend;
struct Blocks;
struct Recipe;

using Names = std::vector<std::string>;
using Slots = std::vector<OptimizerSlot>;

// Visits a recipe's switches, to read them from JSON, write them, or list their possible values.
class Switches {
 public:
  static constexpr double tiny = 1e-30;  // lower limit of switches that must be positive
  static constexpr int64_t most_steps = int64_t{1} << 40;

  virtual ~Switches() = default;
  virtual void number(const char* key, double& field, double min, double max) = 0;
  // Numbers for which 0 means off. In JSON, null means off.
  virtual void set(const char* key, double& field, double min, double max) = 0;
  virtual void set(const char* key, int64_t& field, int64_t min, int64_t max) = 0;
  virtual void integer(const char* key, int64_t& field, int64_t min, int64_t max) = 0;
  virtual void flag(const char* key, bool& field) = 0;
  virtual void betas(Recipe& recipe) = 0;
  virtual void coefficients(Recipe& recipe) = 0;
  virtual void blocks(Blocks& blocks) = 0;
  // The momentum: a number, or {"from", "to", "steps", "end"}.
  virtual void momentum(Recipe& recipe) = 0;
  template <typename Enum>
  void choice(const char* key, Enum& field) {
    int value = static_cast<int>(field);
    choice_of(key, value, all_names<Enum>());
    field = static_cast<Enum>(value);
  }
  // Calls `visit` for switches that have an effect only if `holds`. If `holds` is false, a config that sets one of them
  // is refused with the reason `why`, unless another stage reads the switch.
  void when(bool holds, const char* why, const std::function<void()>& visit);

 protected:
  virtual void choice_of(const char* key, int& value, const Names& names) = 0;
  const char* idle_ = nullptr;  // why the switches being visited have no effect; nullptr: they have an effect
};

// The values that all matrices of a batch share in one step.
struct Moment {
  int64_t t = 1;         // number of the update, from 1; steps whose update was skipped do not count
  float lr = 0;          // learning rate: peak times width factor times the schedule's multiplier
  float grad_scale = 1;  // multiplies every gradient (clipping)
  Rounding rounding;
};

// Flat scratch memory, shared by all batches whose updates have the same dtype. A tensor is empty if no batch needs it.
// `update`, `other`, `kept`, `projected` and `gradients` each hold all elements of a batch. `gram` and `gram_squared`
// hold square matrices [side, side], where side is the length of a side of the batch's matrices. `gradients`, `sums`
// and `measured` are fp32. The other tensors have the dtype of `update`.
struct Workspace {
  Tensor update, other, kept, projected, gradients, gram, gram_squared, sums, measured;
};

// The number of elements that a batch needs in each tensor of the workspace.
struct WorkspaceSize {
  int64_t update = 0, other = 0, kept = 0, projected = 0, gradients = 0, gram = 0, gram_squared = 0, sums = 0,
          measured = 0;

  void sums_for(int64_t count) { sums = std::max(sums, count); }
  // Enlarges every tensor to the number of elements that it has in `needed`.
  void grow_to(const WorkspaceSize& needed);
};

// State that a stage keeps from step to step for each matrix. The momentum buffer is not declared this way; each slot
// has it as `first`.
struct StateSpec {
  const char* kind;   // the tensor's name is "<parameter>.<kind>"
  int64_t count = 0;  // number of values of `dtype`; 0: one per element, in the dtype of the optimizer's state
  DType dtype = DType::f32;
};
// For each kind of state, one tensor per slot.
using States = std::map<std::string, std::vector<Tensor>>;

// A batch as it passes through the stages of a recipe.
struct StageRun {
  Backend& backend;
  const Recipe& recipe;
  Moment now;
  Slots slots;
  const States& states;
  Workspace& workspace;
  Tensor update;        // [n, out, in]: the momentum after the first stages, the direction at the end
  Tensor factors = {};  // factors of the step: fp32[n, k], k per matrix along factors_along; may be empty
  Along factors_along = Along::matrix;

  int64_t n() const { return update.dim(0); }
  int64_t rows() const { return update.dim(1); }
  int64_t cols() const { return update.dim(2); }
  // The n matrices [out, in] of the update, of the gradients and of the weights.
  std::vector<Tensor> matrices() const;
  std::vector<Tensor> gradients() const;
  std::vector<Tensor> weights() const;
  // Part i of workspace.sums, as fp32[n, k].
  Tensor sums(int i, int64_t k) const;
  // The part of `flat` that the batch uses, as [n, out, in].
  Tensor part(const Tensor& flat) const;
  // A copy of all slots. In the copy, the fields `first` and `second` are the states whose names are the arguments. If
  // an argument is nullptr, the field keeps the slot's own tensor.
  Slots with(const char* first, const char* second = nullptr) const;
  // wide() returns a square state matrix in fp32. A matrix that is stored in bf16 is copied to workspace.gram, from
  // element `at` on. keep() rounds such a copy and writes it back.
  Tensor wide(const Tensor& kept, int64_t at) const;
  void keep(const Tensor& kept, const Tensor& wide) const;
  // Replaces the gradients that later stages see. The new gradients are already clipped, so grad_scale becomes 1.
  void take_gradients(const Tensor& gradients);
};

// Reports a contradiction under the key that causes it.
using Refuse = std::function<void(const char* key, const std::string& why)>;

struct Stage {
  const char* name;
  // Visits the stage's switches, after the switches of the stages before it. Null: the stage has no switches.
  void (*switches)(Recipe&, Switches&) = nullptr;
  bool (*on)(const Recipe&) = nullptr;
  // Returns the smallest part of a parameter that the stage can process without the rest of the parameter. Called only
  // if the stage is on.
  Atom (*atom)(const Recipe&) = nullptr;
  void (*run)(StageRun&) = nullptr;
  std::string (*describe)(const Recipe&) = nullptr;
  // Reports contradictions that involve the stage's settings.
  void (*check)(const Recipe&, const Refuse&) = nullptr;
  // Enlarges `size` to the workspace that the stage needs for n matrices. Workspace::update is not counted.
  void (*workspace)(const Recipe&, int64_t n, int64_t rows, int64_t cols, WorkspaceSize& size) = nullptr;
  // The state that the stage keeps in addition to the momentum.
  void (*state)(const Recipe&, int64_t rows, int64_t cols, std::vector<StateSpec>& specs) = nullptr;
  // True if Backend::normalized_step implements the stage with these settings. Null: it does not.
  bool (*fuses)(const Recipe&) = nullptr;
};

}  // namespace rowan
