#include "optim/stages.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/arena.h"
#include "kernels/backend.h"
#include "optim/schedule.h"

namespace rowan {

std::vector<Tensor> StageRun::matrices() const {
  std::vector<Tensor> matrices;
  for (int64_t i = 0; i < n(); ++i) matrices.push_back(update.at(i));
  return matrices;
}

std::vector<Tensor> StageRun::gradients() const {
  std::vector<Tensor> gradients;
  for (const OptimizerSlot& slot : slots) gradients.push_back(slot.gradient.view({rows(), cols()}));
  return gradients;
}

std::vector<Tensor> StageRun::weights() const {
  std::vector<Tensor> weights;
  for (const OptimizerSlot& slot : slots) weights.push_back(slot.value().view({rows(), cols()}));
  return weights;
}

Tensor StageRun::sums(int i, int64_t k) const { return workspace.sums.slice(i * n() * k, n() * k).view({n(), k}); }

Tensor StageRun::part(const Tensor& flat) const { return flat.slice(0, update.numel()).view({n(), rows(), cols()}); }

Slots StageRun::with(const char* first, const char* second) const {
  Slots own = slots;
  for (size_t i = 0; i < own.size(); ++i) {
    if (first) own[i].first = states.at(first)[i];
    if (second) own[i].second = states.at(second)[i];
  }
  return own;
}

Tensor StageRun::wide(const Tensor& kept, int64_t at) const {
  if (kept.dtype == DType::f32) return kept;
  Tensor copy = workspace.gram.slice(at, kept.numel()).view({kept.dim(0), kept.dim(1)});
  backend.copy(copy, kept);
  return copy;
}

void StageRun::keep(const Tensor& kept, const Tensor& wide) const {
  if (kept.data != wide.data) backend.copy(kept, wide);
}

void StageRun::take_gradients(const Tensor& gradients) {
  for (size_t i = 0; i < slots.size(); ++i) slots[i].gradient = gradients.at(static_cast<int64_t>(i));
  now.grad_scale = 1;
}

int64_t count_along(Along along, int64_t rows, int64_t cols) {
  return along == Along::row ? rows : along == Along::column ? cols : 1;
}

std::vector<StateSpec> state_of(const Recipe& recipe, int64_t rows, int64_t cols) {
  std::vector<StateSpec> specs;
  for (const Stage* stage : stages)
    if (stage->state && stage->on(recipe)) stage->state(recipe, rows, cols, specs);
  return specs;
}

WorkspaceSize workspace_size(const Recipe& recipe, int64_t n, int64_t rows, int64_t cols) {
  WorkspaceSize size;
  size.update = n * rows * cols;
  if (recipe.mars_adamw()) size.sums = 3 * n;
  if (recipe.adamw) return size;
  for (const Stage* stage : stages)
    if (stage->workspace && stage->on(recipe)) stage->workspace(recipe, n, rows, cols, size);
  return size;
}

void WorkspaceSize::grow_to(const WorkspaceSize& needed) {
  for (int64_t WorkspaceSize::*part : {&WorkspaceSize::update, &WorkspaceSize::other, &WorkspaceSize::kept,
                                       &WorkspaceSize::projected, &WorkspaceSize::gradients, &WorkspaceSize::gram,
                                       &WorkspaceSize::gram_squared, &WorkspaceSize::sums, &WorkspaceSize::measured})
    this->*part = std::max(this->*part, needed.*part);
}

DType update_dtype(const Recipe& recipe, DType weight) {
  if (recipe.direction != Direction::newton_schulz && recipe.direction != Direction::aurora) return DType::f32;
  if (recipe.precondition != Precondition::none || recipe.shampoo) return DType::f32;
  if (recipe.ns_precision != Precision::automatic)
    return recipe.ns_precision == Precision::bf16 ? DType::bf16 : DType::f32;
  return weight;
}

Workspace make_workspace(const WorkspaceSize& size, DType update, Arena& memory) {
  auto take = [&](DType dtype, int64_t count) { return count ? memory.take(dtype, {count}) : Tensor(); };
  Workspace workspace;
  workspace.update = take(update, size.update);
  workspace.other = take(update, size.other);
  workspace.kept = take(update, size.kept);
  workspace.projected = take(update, size.projected);
  workspace.gradients = take(DType::f32, size.gradients);
  workspace.gram = take(update, size.gram);
  workspace.gram_squared = take(update, size.gram_squared);
  workspace.sums = take(DType::f32, size.sums);
  workspace.measured = take(DType::f32, size.measured);
  return workspace;
}

void run_stages(Backend& backend, const Recipe& recipe, const Moment& now, const Slots& slots, const States& states,
                int64_t rows, int64_t cols, Workspace& workspace) {
  const int64_t n = static_cast<int64_t>(slots.size());
  Tensor update = workspace.update.slice(0, n * rows * cols).view({n, rows, cols});
  Moment moment = now;
  if (recipe.skips_first() && now.t == 1) moment.lr = 0;
  StageRun run{backend, recipe, moment, slots, states, workspace, update};
  for (const Stage* stage : stages)
    if (stage->on(recipe)) stage->run(run);
}

Recipe Recipe::at(int64_t step, const Pace& pace) const {
  Recipe now = *this;
  if (const MomentumCourse& course = momentum_course; course.from > 0) {
    const double part = std::min(1.0, static_cast<double>(step) / static_cast<double>(course.steps));
    now.momentum = course.from + part * (momentum - course.from);
    if (course.end > 0 && pace.fall > 0) now.momentum += pace.fall * (course.end - now.momentum);
    if (beta == momentum) now.beta = now.momentum;
  }
  if (decay_course == DecayCourse::rate) now.weight_decay *= pace.rate;
  if (decay_course == DecayCourse::cosine) now.weight_decay *= 0.5 * (1 + std::cos(std::numbers::pi * pace.done));
  return now;
}

double Recipe::width_factor(int64_t inputs) const {
  return width_scale == 0 ? 1 : std::pow(static_cast<double>(inputs) / width_base, width_scale);
}

Atom Recipe::atom() const {
  Atom coarsest = Atom::element;
  if (adamw) return coarsest;
  for (const Stage* stage : stages)
    if (stage->on(*this)) coarsest = std::max(coarsest, stage->atom(*this));
  return coarsest;
}

bool Recipe::fused() const {
  return !adamw && normalizes_axis() && std::all_of(std::begin(stages), std::end(stages), [&](const Stage* stage) {
    return !stage->on(*this) || (stage->fuses && stage->fuses(*this));
  });
}

}  // namespace rowan
