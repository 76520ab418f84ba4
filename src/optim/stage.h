// Stage: one place of a recipe. It answers for itself: its switches, whether a recipe has it on, what of a parameter it
// must see whole, what it keeps from step to step, and what it does to a batch of same-shape matrices.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "optim/recipe.h"

namespace rowan {

using Names = std::vector<std::string>;
using Slots = std::vector<OptimizerSlot>;

// Whoever goes through the switches of a recipe: reads them from JSON, writes them, or lists what they may be.
class Switches {
 public:
  static constexpr double tiny = 1e-30;  // the smallest of what must be positive: fp32 divides by it

  virtual ~Switches() = default;
  virtual void number(const char* key, double& field, double min, double max) = 0;
  // Numbers that are off at 0, which the config writes as null.
  virtual void set(const char* key, double& field, double min, double max) = 0;
  virtual void set(const char* key, int64_t& field, int64_t min, int64_t max) = 0;
  virtual void integer(const char* key, int64_t& field, int64_t min, int64_t max) = 0;
  virtual void flag(const char* key, bool& field) = 0;
  virtual void betas(Recipe& recipe) = 0;
  virtual void coefficients(Recipe& recipe) = 0;
  // `names` in the order of the enumerators.
  template <typename Enum>
  void choice(const char* key, Enum& field, const Names& names) {
    int value = static_cast<int>(field);
    choice_of(key, value, names);
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

// Memory that the stages of a batch share; flat, as large as the largest batch needs. `update` and `other` hold the
// batch, the Gram matrices its smaller side squared, sums f32 3 * n * (out + in).
struct Workspace {
  Tensor update, other, gram, gram_squared, sums;
};

// Elements of each part of a workspace that a batch needs; gram_squared is as large as gram.
struct WorkspaceSize {
  int64_t update = 0, other = 0, gram = 0, sums = 0;
};

// A batch on its way through the stages of a recipe.
struct StageRun {
  Backend& backend;
  const Recipe& recipe;
  const Moment& now;
  const Slots& slots;
  Workspace& workspace;
  Tensor update;   // [n, out, in]: momentum in the beginning, the direction in the end
  Tensor factors;  // of the steps, f32 [n, k] along adapt_along(), or empty

  int64_t n() const { return update.dim(0); }
  int64_t rows() const { return update.dim(1); }
  int64_t cols() const { return update.dim(2); }
  // Each [out, in].
  std::vector<Tensor> matrices() const;
  // f32 [n, k]: part i of the three that the workspace's sums are for.
  Tensor sums(int i, int64_t k) const;
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
  // True when Backend::normalized_step does what the stage is set to.
  bool (*fuses)(const Recipe&) = nullptr;
};

}  // namespace rowan
