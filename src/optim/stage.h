// Stage: one place of a recipe. It answers for itself: its switches, whether a recipe has it on, what of a parameter it
// must see whole, what it keeps from step to step, and what it does to a batch of same-shape matrices.
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

// Whoever goes through the switches of a recipe: reads them from JSON, writes them, or lists what they may be.
class Switches {
 public:
  static constexpr double tiny = 1e-30;  // the smallest of what must be positive: fp32 divides by it
  static constexpr int64_t most_steps = int64_t{1} << 40;

  virtual ~Switches() = default;
  virtual void number(const char* key, double& field, double min, double max) = 0;
  // Numbers that are off at 0, which the config writes as null.
  virtual void set(const char* key, double& field, double min, double max) = 0;
  virtual void set(const char* key, int64_t& field, int64_t min, int64_t max) = 0;
  virtual void integer(const char* key, int64_t& field, int64_t min, int64_t max) = 0;
  virtual void flag(const char* key, bool& field) = 0;
  virtual void betas(Recipe& recipe) = 0;
  virtual void coefficients(Recipe& recipe) = 0;
  virtual void blocks(Blocks& blocks) = 0;
  // A number, or {"from", "to", "steps", "end"}.
  virtual void momentum(Recipe& recipe) = 0;
  template <typename Enum>
  void choice(const char* key, Enum& field) {
    int value = static_cast<int>(field);
    choice_of(key, value, all_names<Enum>());
    field = static_cast<Enum>(value);
  }
  // The switches that `visit` goes through matter only when `holds`; a config that sets them all the same is told why
  // they have no effect.
  void when(bool holds, const char* why, const std::function<void()>& visit);

 protected:
  virtual void choice_of(const char* key, int& value, const Names& names) = 0;
  const char* idle_ = nullptr;  // why the switches now gone through have no effect; nullptr: they have
};

// What is the same for all matrices of one step.
struct Moment {
  int64_t t = 1;         // step, from 1
  float lr = 0;          // peak times the schedule's multiplier
  float grad_scale = 1;  // multiplies every gradient
  Rounding rounding;
};

// Memory that the stages of a batch share; flat, as large as the largest batch needs. `update`, `other`, `kept`,
// `projected` and `gradients` hold the batch, the Gram matrices its smaller side squared; gradients, sums and measured
// are f32.
struct Workspace {
  Tensor update, other, kept, projected, gradients, gram, gram_squared, sums, measured;
};

// Elements of each part of a workspace that a batch needs.
struct WorkspaceSize {
  int64_t update = 0, other = 0, kept = 0, projected = 0, gradients = 0, gram = 0, gram_squared = 0, sums = 0,
          measured = 0;

  void sums_for(int64_t count) { sums = std::max(sums, count); }
};

// What a stage keeps from step to step for each matrix, beside the momentum that is a slot's `first`.
struct StateSpec {
  const char* kind;   // of the tensor's name
  int64_t count = 0;  // values of `dtype`; 0: one for each element, in the dtype of the optimizer's state
  DType dtype = DType::f32;
};
// By kind, a tensor for each slot.
using States = std::map<std::string, std::vector<Tensor>>;

// A batch on its way through the stages of a recipe.
struct StageRun {
  Backend& backend;
  const Recipe& recipe;
  Moment now;
  Slots slots;
  const States& states;
  Workspace& workspace;
  Tensor update;        // [n, out, in]: momentum in the beginning, the direction in the end
  Tensor factors = {};  // of the steps, f32 [n, k] along factors_along, or empty
  Along factors_along = Along::matrix;

  int64_t n() const { return update.dim(0); }
  int64_t rows() const { return update.dim(1); }
  int64_t cols() const { return update.dim(2); }
  // Each [out, in].
  std::vector<Tensor> matrices() const;
  std::vector<Tensor> gradients() const;
  std::vector<Tensor> weights() const;
  // f32 [n, k]: part i of the workspace's sums.
  Tensor sums(int i, int64_t k) const;
  // The batch's part of `flat`.
  Tensor part(const Tensor& flat) const;
  // The slots with a stage's own state in the place of first and second.
  Slots with(const char* first, const char* second = nullptr) const;
  // A square matrix that is kept in bf16 as an fp32 copy in the Gram matrices' memory, from element `at` on; one in
  // fp32 as it lies. keep() writes it back.
  Tensor wide(const Tensor& kept, int64_t at) const;
  void keep(const Tensor& kept, const Tensor& wide) const;
  // What the stages behind this one take for the gradients, clipped already.
  void take_gradients(const Tensor& gradients);
};

// Reports a contradiction under the key that brought it in.
using Refuse = std::function<void(const char* key, const std::string& why)>;

struct Stage {
  const char* name;
  // Its keys, where it has any. Those of the stages before it have been gone through.
  void (*switches)(Recipe&, Switches&) = nullptr;
  bool (*on)(const Recipe&) = nullptr;
  // The smallest part of a parameter that the stage can work on without the rest; asked only when it is on.
  Atom (*atom)(const Recipe&) = nullptr;
  void (*run)(StageRun&) = nullptr;
  // In a line of words.
  std::string (*describe)(const Recipe&) = nullptr;
  // Contradictions with the choices of any stage.
  void (*check)(const Recipe&, const Refuse&) = nullptr;
  // Makes `size` large enough for n matrices, beside their update.
  void (*workspace)(const Recipe&, int64_t n, int64_t rows, int64_t cols, WorkspaceSize& size) = nullptr;
  // What it keeps, beside the momentum.
  void (*state)(const Recipe&, int64_t rows, int64_t cols, std::vector<StateSpec>& specs) = nullptr;
  // True when Backend::normalized_step does what the stage is set to.
  bool (*fuses)(const Recipe&) = nullptr;
};

}  // namespace rowan
