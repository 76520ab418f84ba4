// Stage: one step of a recipe. Each stage defines its own switches, whether a recipe uses it, which part of a parameter
// it must see whole, what state it keeps, and what it does to a batch of matrices of one shape.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/names.h"
#include "kernels/backend.h"
#include "optim/share.h"

namespace rowan {

struct Blocks;
struct Recipe;

using Names = std::vector<std::string>;
using Slots = std::vector<OptimizerSlot>;

// A visitor of a recipe's switches, which reads them from JSON, writes them, or lists their possible values.
class Switches {
 public:
  static constexpr double tiny = 1e-30;  // smallest positive value allowed, since fp32 divides by it
  static constexpr int64_t most_steps = int64_t{1} << 40;

  virtual ~Switches() = default;
  virtual void number(const char* key, double& field, double min, double max) = 0;
  // Numbers for which 0 means off; the config writes that as null.
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
  // The switches visited by `visit` have an effect only if `holds`. A config that sets them anyway is told `why` they
  // have none.
  void when(bool holds, const char* why, const std::function<void()>& visit);

 protected:
  virtual void choice_of(const char* key, int& value, const Names& names) = 0;
  const char* idle_ = nullptr;  // why the switches being visited have no effect; nullptr: they have one
};

// The values shared by all matrices of one step.
struct Moment {
  int64_t t = 1;         // number of the step, from 1
  float lr = 0;          // learning rate: peak times the schedule's multiplier
  float grad_scale = 1;  // multiplies every gradient
  Rounding rounding;
};

// Flat memory that the stages of a batch share, sized for the largest batch. `update`, `other`, `kept`, `projected` and
// `gradients` hold a batch; the Gram matrices hold its shorter side squared. gradients, sums and measured are f32.
struct Workspace {
  Tensor update, other, kept, projected, gradients, gram, gram_squared, sums, measured;
};

// The elements that a batch needs in each part of the workspace.
struct WorkspaceSize {
  int64_t update = 0, other = 0, kept = 0, projected = 0, gradients = 0, gram = 0, gram_squared = 0, sums = 0,
          measured = 0;

  void sums_for(int64_t count) { sums = std::max(sums, count); }
};

// State that a stage keeps from step to step for each matrix, in addition to the momentum, which is a slot's `first`.
struct StateSpec {
  const char* kind;   // the second part of the tensor's name
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
  Tensor update;        // [n, out, in]: the momentum at first, the direction at the end
  Tensor factors = {};  // step factors f32[n, k] along factors_along, or empty
  Along factors_along = Along::matrix;

  int64_t n() const { return update.dim(0); }
  int64_t rows() const { return update.dim(1); }
  int64_t cols() const { return update.dim(2); }
  // The matrices [out, in] of the update, and those of the gradients.
  std::vector<Tensor> matrices() const;
  std::vector<Tensor> gradients() const;
  std::vector<Tensor> weights() const;
  // f32[n, k]: part i of the workspace's sums.
  Tensor sums(int i, int64_t k) const;
  // The part of `flat` that the batch uses.
  Tensor part(const Tensor& flat) const;
  // The slots with a stage's own state as `first` and `second`.
  Slots with(const char* first, const char* second = nullptr) const;
  // A square state matrix in fp32: the matrix itself, or if it is kept in bf16 a copy in the memory of the Gram
  // matrices, from element `at` on. keep() writes it back.
  Tensor wide(const Tensor& kept, int64_t at) const;
  void keep(const Tensor& kept, const Tensor& wide) const;
  // Sets the gradients that later stages see; they are clipped already.
  void take_gradients(const Tensor& gradients);
};

// Reports a contradiction under the key that causes it.
using Refuse = std::function<void(const char* key, const std::string& why)>;

struct Stage {
  const char* name;
  // Visits the stage's keys, if it has any, after those of earlier stages.
  void (*switches)(Recipe&, Switches&) = nullptr;
  bool (*on)(const Recipe&) = nullptr;
  // The smallest part of a parameter that the stage can process by itself; called only if the stage is on.
  Atom (*atom)(const Recipe&) = nullptr;
  void (*run)(StageRun&) = nullptr;
  // Describes the stage in words.
  std::string (*describe)(const Recipe&) = nullptr;
  // Reports contradictions with the settings of any stage.
  void (*check)(const Recipe&, const Refuse&) = nullptr;
  // Enlarges `size` to what n matrices need in addition to their update.
  void (*workspace)(const Recipe&, int64_t n, int64_t rows, int64_t cols, WorkspaceSize& size) = nullptr;
  // The state that the stage keeps in addition to the momentum.
  void (*state)(const Recipe&, int64_t rows, int64_t cols, std::vector<StateSpec>& specs) = nullptr;
  // True if Backend::normalized_step implements this setting of the stage.
  bool (*fuses)(const Recipe&) = nullptr;
};

}  // namespace rowan
