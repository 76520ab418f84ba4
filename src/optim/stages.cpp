#include "optim/stages.h"

#include <algorithm>
#include <cmath>

namespace rowan {
namespace {

float f(double x) { return static_cast<float>(x); }

Eps eps_of(Divide divide) { return divide == Divide::add ? Eps::add : Eps::clamp; }

Along adapt_along(const Recipe& recipe) {
  return recipe.adapt == Adapt::matrix ? Along::matrix : recipe.adapt == Adapt::column ? Along::column : Along::row;
}

// Part i of the three that the workspace's sums are for.
Tensor sums_part(const Workspace& workspace, int i, int64_t n, int64_t k) {
  return workspace.sums.slice(i * n * k, n * k).view({n, k});
}

// The Frobenius norm that gives elements a root mean square of `scale`.
float rms_norm(const Recipe& recipe, int64_t rows, int64_t cols) {
  return f(recipe.scale * std::sqrt(static_cast<double>(rows * cols)));
}

std::vector<Tensor> matrices_of(Tensor update) {
  std::vector<Tensor> matrices;
  for (int64_t i = 0; i < update.dim(0); ++i) matrices.push_back(update.at(i));
  return matrices;
}

}  // namespace

int64_t factor_count(const Recipe& recipe, int64_t rows, int64_t cols) {
  const Along along = adapt_along(recipe);
  return along == Along::row ? rows : along == Along::column ? cols : 1;
}

WorkspaceSize workspace_size(const Recipe& recipe, int64_t n, int64_t rows, int64_t cols) {
  const int64_t side = recipe.ns_transpose ? std::min(rows, cols) : rows;
  WorkspaceSize size;
  size.update = n * rows * cols;
  if (recipe.orthogonalizes()) {
    size.other = size.update;
    size.gram = n * side * side;
  }
  if (recipe.adapt != Adapt::none) size.sums = 3 * n * factor_count(recipe, rows, cols);
  if (recipe.mars_gamma > 0) size.sums = 3 * n;
  return size;
}

Along axis_of(const Recipe& recipe, int64_t t) {
  if (recipe.direction == Direction::column_normalize) return Along::column;
  if (recipe.direction == Direction::alternate_axis) return t % 2 == 1 ? Along::column : Along::row;
  return Along::row;
}

float shape_factor(const Recipe& recipe, int64_t out, int64_t in, int64_t t) {
  const double rows = static_cast<double>(out), cols = static_cast<double>(in);
  switch (recipe.shape_scale) {
    case ShapeScale::none:
    case ShapeScale::rms:
      return 1;
    case ShapeScale::keller:
      return f(std::sqrt(std::max(1.0, rows / cols)));
    case ShapeScale::moonlight:
      return f(recipe.scale * std::sqrt(std::max(rows, cols)));
    case ShapeScale::axis:
      return f(recipe.scale * std::sqrt(axis_of(recipe, t) == Along::row ? cols : rows));
    case ShapeScale::ratio:
      return f(std::sqrt(rows / cols));
  }
  return 1;
}

MomentumRule momentum_rule(const Recipe& r, float grad_scale) {
  MomentumRule rule;
  rule.grad_scale = grad_scale;
  rule.keep = f(r.form == Form::heavy_ball ? r.momentum : r.beta);
  rule.take = f(r.form == Form::heavy_ball ? 1 : 1 - r.beta);
  rule.previous = r.form == Form::lion;
  const bool look_ahead = r.nesterov || r.form == Form::lion;
  rule.from_buffer = f(look_ahead ? r.momentum : 1);
  rule.from_gradient = f(!look_ahead ? 0 : r.form == Form::heavy_ball ? 1 : 1 - r.momentum);
  return rule;
}

AdamWRule adamw_rule(const Recipe& r, const Moment& now) {
  const double t = static_cast<double>(now.t), c1 = 1 - std::pow(r.beta1, t), c2 = 1 - std::pow(r.beta2, t);
  AdamWRule rule;
  rule.beta1 = f(r.beta1);
  rule.beta2 = f(r.beta2);
  rule.eps = f(r.eps);
  rule.root_scale = f(r.corrected_eps ? 1 / std::sqrt(c2) : 1);
  rule.step = f(r.corrected_eps ? now.lr / c1 : now.lr * std::sqrt(c2) / c1);
  rule.decay = f(r.weight_decay * (r.corrected_decay ? now.lr * std::sqrt(c2) / c1 : now.lr));
  rule.grad_scale = now.grad_scale;
  rule.rounding = now.rounding;
  return rule;
}

NormalizedStepRule fused_rule(const Recipe& r, const Moment& now) {
  NormalizedStepRule rule;
  rule.momentum = momentum_rule(r, now.grad_scale);
  rule.along = axis_of(r, now.t);
  rule.project = r.project != Project::none;
  rule.raw = r.raw_weights;
  rule.eps = f(r.eps);
  rule.eps_mode = eps_of(r.eps_mode);
  rule.step = now.lr;
  rule.decay = f(now.lr * r.weight_decay);
  rule.rounding = now.rounding;
  return rule;
}

void momentum_stage(Backend& backend, const Recipe& recipe, const Moment& now, Tensor update, const Slots& slots) {
  backend.momentum(update, slots, momentum_rule(recipe, now.grad_scale));
}

void project_stage(Backend& backend, const Recipe& recipe, const Moment& now, Tensor update, const Slots& slots) {
  if (recipe.project == Project::none) return;
  ProjectRule rule;
  rule.along = recipe.project == Project::rows      ? Along::row
               : recipe.project == Project::columns ? Along::column
                                                    : (now.t % 2 == 1 ? Along::column : Along::row);
  rule.raw = recipe.raw_weights;
  rule.eps = f(recipe.eps);
  backend.project(update, slots, rule);
}

void equilibrate_stage(Backend& backend, const Recipe& recipe, const Moment& now, Tensor update) {
  if (recipe.equilibrate == Equilibrate::none) return;
  if (recipe.equilibrate == Equilibrate::sign) return backend.sign(update);
  NormalizeRule rule;
  rule.rows = recipe.equilibrate != Equilibrate::column;
  rule.columns = recipe.equilibrate == Equilibrate::column ||
                 (recipe.equilibrate == Equilibrate::row_column && (recipe.phase == 0 || now.t < recipe.phase));
  rule.exponent = f(recipe.equilibrate_exponent);
  rule.eps = f(recipe.equilibrate_eps);
  rule.eps_mode = Eps::inside;
  rule.clip = f(recipe.equilibrate_clip);
  backend.normalize(update, rule);
}

Tensor orthogonalize(Backend& backend, const Recipe& recipe, Tensor update, Workspace& workspace) {
  NormalizeRule rule;
  rule.matrix = true;
  rule.eps = f(recipe.ns_eps);
  rule.eps_mode = eps_of(recipe.ns_eps_mode);
  rule.target = f(1 / norm_safety(recipe));
  backend.normalize(update, rule);

  const int64_t n = update.dim(0), rows = update.dim(1), cols = update.dim(2);
  const bool tall = recipe.ns_transpose && rows > cols;
  const int64_t side = tall ? cols : rows;
  Tensor x = update, y = workspace.other.slice(0, n * rows * cols).view({n, rows, cols});
  Tensor gram = workspace.gram.slice(0, n * side * side).view({n, side, side});
  Tensor polynomial = workspace.gram_squared.slice(0, n * side * side).view({n, side, side});
  for (const auto& [a, b, c] : iterations(recipe)) {
    backend.matmul(gram, x, tall, x, !tall, 1, 0);
    backend.matmul_add(polynomial, gram, gram, false, gram, false, f(c), f(b));
    if (tall)
      backend.matmul_add(y, x, x, false, polynomial, false, 1, f(a));
    else
      backend.matmul_add(y, x, polynomial, false, x, false, 1, f(a));
    std::swap(x, y);
  }
  return x;
}

Tensor direction_stage(Backend& backend, const Recipe& recipe, const Moment& now, Tensor update, Workspace& workspace) {
  if (recipe.orthogonalizes()) return orthogonalize(backend, recipe, update, workspace);
  if (recipe.direction == Direction::sign) backend.sign(update);
  if (recipe.normalizes_axis()) {
    NormalizeRule rule;
    rule.rows = axis_of(recipe, now.t) == Along::row;
    rule.columns = !rule.rows;
    rule.eps = f(recipe.eps);
    rule.eps_mode = eps_of(recipe.eps_mode);
    backend.normalize(update, rule);
  }
  return update;
}

void renormalize_stage(Backend& backend, const Recipe& recipe, Tensor update) {
  NormalizeRule rule;
  rule.eps = 1e-8f;
  rule.eps_mode = Eps::inside;
  if (recipe.renormalize == Renormalize::column || recipe.renormalize == Renormalize::column_row) {
    rule.columns = true;
    backend.normalize(update, rule);
  }
  if (recipe.renormalize == Renormalize::row || recipe.renormalize == Renormalize::column_row) {
    rule.columns = false;
    rule.rows = true;
    backend.normalize(update, rule);
  }
}

void measure_stage(Backend& backend, const Recipe& recipe, const Moment& now, Tensor update, const Slots& slots,
                   Workspace& workspace) {
  if (!recipe.scales_rate()) return;
  const Along along = adapt_along(recipe);
  const int64_t n = update.dim(0), k = factor_count(recipe, update.dim(1), update.dim(2));
  std::vector<Tensor> gradients;
  for (const OptimizerSlot& slot : slots) gradients.push_back(slot.gradient.view({update.dim(1), update.dim(2)}));
  backend.sums_of_squares(sums_part(workspace, 1, n, k), matrices_of(update), along, 1);
  backend.sums_of_squares(sums_part(workspace, 2, n, k), gradients, along, now.grad_scale);
}

Tensor adapt_stage(Backend& backend, const Recipe& recipe, const Moment& now, Tensor update, const Slots& slots,
                   Workspace& workspace) {
  if (recipe.adapt == Adapt::none) return {};
  const int64_t n = update.dim(0), rows = update.dim(1), cols = update.dim(2);
  if (recipe.adapt == Adapt::element_moment) {
    backend.second_moment(update, slots, f(recipe.beta2), f(recipe.adapt_eps));
    return {};
  }
  const int64_t k = factor_count(recipe, rows, cols);
  const double t = static_cast<double>(now.t);
  AdaptRule rule;
  rule.normuon = recipe.adapt == Adapt::row_moment;
  rule.beta = f(recipe.beta2);
  rule.eps = f(recipe.adapt_eps);
  rule.eps_inside = recipe.adapt_eps_inside;
  rule.clamp = f(recipe.clamp);
  rule.width = f(static_cast<double>(cols));
  if (recipe.shape_scale == ShapeScale::rms) rule.target = rms_norm(recipe, rows, cols);
  rule.bias = f(std::sqrt(1 - std::pow(recipe.beta2, t)) / (1 - std::pow(recipe.momentum, t) + 1e-12));
  Tensor factors = sums_part(workspace, 0, n, k), update_sums = sums_part(workspace, 1, n, k);
  if (rule.normuon) backend.sums_of_squares(update_sums, matrices_of(update), Along::row, 1);
  backend.adaptive_factors(factors, slots, update_sums, rule.normuon ? Tensor() : sums_part(workspace, 2, n, k), rule);
  return factors;
}

void rescale_stage(Backend& backend, const Recipe& recipe, Tensor update) {
  if (recipe.shape_scale != ShapeScale::rms || recipe.adapt == Adapt::row_moment) return;
  NormalizeRule rule;
  rule.matrix = true;
  rule.eps = f(recipe.adapt_eps);
  rule.target = rms_norm(recipe, update.dim(1), update.dim(2));
  backend.normalize(update, rule);
}

void apply_stage(Backend& backend, const Recipe& recipe, const Moment& now, Tensor update, const Slots& slots,
                 Tensor factors) {
  ApplyRule rule;
  rule.lr = now.lr;
  rule.weight_decay = f(recipe.weight_decay);
  rule.adaptive_decay = recipe.decay == Decay::adaptive;
  if (recipe.step_cap > 0) rule.cap = f(recipe.step_cap);
  rule.rounded = recipe.direction_precision == Precision::bf16;
  rule.along = adapt_along(recipe);
  rule.rounding = now.rounding;
  backend.apply(update, slots, factors, rule);
}

void run_stages(Backend& backend, const Recipe& recipe, const Moment& now, const Slots& slots, int64_t rows,
                int64_t cols, Workspace& workspace) {
  const int64_t n = static_cast<int64_t>(slots.size());
  Tensor update = workspace.update.slice(0, n * rows * cols).view({n, rows, cols});
  momentum_stage(backend, recipe, now, update, slots);
  project_stage(backend, recipe, now, update, slots);
  measure_stage(backend, recipe, now, update, slots, workspace);
  equilibrate_stage(backend, recipe, now, update);
  update = direction_stage(backend, recipe, now, update, workspace);
  renormalize_stage(backend, recipe, update);
  Tensor factors = adapt_stage(backend, recipe, now, update, slots, workspace);
  rescale_stage(backend, recipe, update);
  apply_stage(backend, recipe, now, update, slots, factors);
}

}  // namespace rowan
