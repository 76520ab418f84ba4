#include "optim/optimizer.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/backend.h"
#include "optim/routing.h"
#include "optim/stages.h"

namespace rowan {
namespace {

// A slot is added to a batch only if the batch then has at most this many elements. This bounds the workspace.
constexpr int64_t batch_elements = 32 << 20;

DType state_dtype(const OptimizerConfig& config, const Share& share) {
  if (config.state != Precision::automatic) return config.state == Precision::bf16 ? DType::bf16 : DType::f32;
  return share.weight.dtype == DType::bf16 && share.master.empty() ? DType::bf16 : DType::f32;
}

// The number of columns of the matrix into which a vector or a range of `count` elements is reshaped.
int64_t width(int64_t count) {
  for (int64_t cols = 4096; cols > 1; cols /= 2)
    if (count % cols == 0) return cols;
  return 1;
}

Tensor flat(const Tensor& x) { return x.view({x.numel()}); }

// The number of rows of each block in a share (`own`), and of each block of the same parameter before and behind the
// share. All blocks have `cols` columns.
struct ShareBlocks {
  std::vector<int64_t> before, own, behind;
  int64_t cols;
};

// `own` is empty if the share cuts a block.
ShareBlocks blocks_of(const Recipe& recipe, const Share& share) {
  const Parameter& p = *share.parameter;
  const int64_t columns = column_blocks(recipe, p);
  ShareBlocks blocks;
  blocks.cols = p.cols() / columns;
  if (columns > 1) {
    if (share.whole()) blocks.own.assign(static_cast<size_t>(columns), p.rows());
    return blocks;
  }
  int64_t at = 0, covered = 0;
  for (int64_t rows : block_rows(recipe, p)) {
    const int64_t end = at + rows * p.cols();
    if (end <= share.begin) {
      blocks.before.push_back(rows);
    } else if (at >= share.begin + share.count) {
      blocks.behind.push_back(rows);
    } else {
      blocks.own.push_back(rows);
      covered += rows * p.cols();
    }
    at = end;
  }
  if (covered != share.count) blocks.own.clear();
  return blocks;
}

void check_share(const Recipe& recipe, const Share& share) {
  const Parameter& p = *share.parameter;
  if (share.weight.empty() || share.gradient.empty())
    fail("optimizer: {} has no {}", p.name, share.weight.empty() ? "weight" : "gradient");
  if (share.weight.numel() != share.count || share.gradient.numel() != share.count ||
      (!share.master.empty() && share.master.numel() != share.count))
    fail("optimizer: {}: found weight {}, gradient {}, master {}, expected {} elements in each", p.name,
         share.weight.describe(), share.gradient.describe(), share.master.describe(), share.count);
  if (p.shape.size() != 2) return;
  if (recipe.atom() == Atom::row && (share.begin % p.cols() || share.count % p.cols()))
    fail("optimizer: {}: found a share of elements [{}, {}), expected whole rows for {}", p.name, share.begin,
         share.begin + share.count, recipe.name);
  if (recipe.atom() == Atom::matrix && !share.whole() && blocks_of(recipe, share).own.empty())
    fail("optimizer: {}: found a share of elements [{}, {}), expected the whole matrix{} for {}", p.name, share.begin,
         share.begin + share.count, recipe.blocks.by == Blocks::By::none ? "" : " or whole blocks", recipe.name);
}

}  // namespace

Optimizer::Optimizer(Backend& backend, const OptimizerConfig& config, std::vector<Share> shares, uint64_t seed)
    : backend_(backend),
      config_(config),
      seed_(seed),
      shares_(std::move(shares)),
      state_memory_(backend, Category::optimizer_state),
      workspace_memory_(backend, Category::workspace) {
  for (const Share& share : shares_)
    if (share.count > 0) add(share);
  take_workspace();
  take_columns();
}

Tensor Optimizer::new_state(const Share& share, const char* kind, DType dtype, const OwnShape& own) {
  StateTensor state;
  state.name = share.parameter->name + "." + kind;
  state.kind = kind;
  state.parameter = share.parameter;
  state.begin = own.count ? own.begin : share.begin;
  state.count = own.count ? 0 : share.count;
  state.whole = own.count ? own.whole : share.parameter->numel();
  state.tensor = state_memory_.take(dtype, {own.count ? own.count : share.count});
  state_.push_back(state);
  return state.tensor;
}

Optimizer::Batch& Optimizer::batch_for(const Group& group, int64_t rows, int64_t cols, const Share& share,
                                       int64_t together) {
  const Parameter& p = *share.parameter;
  const double rate = p.shape.size() == 2 ? group.recipe->width_factor(p.cols()) : 1;
  const std::string key =
      fmt::format("{} {} {} {} {} {} {} {}", static_cast<const void*>(&group), rate, rows, cols,
                  name_of(share.weight.dtype), share.master.empty(), name_of(share.gradient.dtype), together > 1);
  auto at = open_.find(key);
  if (at != open_.end()) {
    Batch& batch = batches_[at->second];
    if ((static_cast<int64_t>(batch.slots.size()) + together) * rows * cols <= batch_elements) return batch;
  }
  open_[key] = batches_.size();
  batches_.push_back({&group, group.recipe.get(), {}, rate, rows, cols, {}, {}, {}, {}, {}});
  return batches_.back();
}

void Optimizer::add(const Share& share) {
  const Parameter& p = *share.parameter;
  const Group& group = config_.groups[group_of(config_, p)];
  const Recipe& recipe = *group.recipe;
  check_share(recipe, share);
  const DType dtype = state_dtype(config_, share);
  OptimizerSlot slot;
  slot.weight = share.weight;
  slot.master = share.master;
  slot.gradient = share.gradient;
  slot.index = p.offset + share.begin;

  const bool matrix = p.shape.size() == 2;
  if (recipe.adamw) {
    const bool mars = recipe.mars_adamw() && matrix;
    slot.first = new_state(share, "exp_avg", dtype);
    slot.second = new_state(share, "exp_avg_sq", dtype);
    if (!mars) {
      batch_for(group, 0, 0, share).slots.push_back(slot);
      return;
    }
    const int64_t cols = width(share.count);
    Batch& batch = batch_for(group, share.count / cols, cols, share);
    batch.corrected.push_back(slot);
    slot.first = new_state(share, "previous_gradient", dtype);
    batch.slots.push_back(slot);
    batch.parameters.push_back(&p);
    return;
  }
  slot.first = new_state(share, "momentum", dtype);
  if (recipe.fused()) {
    const int64_t rows = share.count / p.cols();
    slot.weight = slot.weight.view({rows, p.cols()});
    Batch& batch = batch_for(group, 0, 0, share);
    batch.slots.push_back(slot);
    batch.parameters.push_back(&p);
    return;
  }
  ShareBlocks blocks;
  if (recipe.blocks.by == Blocks::By::none || !matrix) {
    blocks.cols = matrix && recipe.atom() != Atom::element ? p.cols() : width(share.count);
    blocks.own = {share.count / blocks.cols};
  } else {
    blocks = blocks_of(recipe, share);
  }
  const int64_t cols = blocks.cols;
  // Each kind of state is one tensor for all blocks of a share.
  std::map<std::string, Tensor> kept;
  std::map<std::string, std::pair<DType, OwnShape>> kinds;
  auto each_spec = [&](const std::vector<int64_t>& heights, auto add_to) {
    for (int64_t height : heights)
      for (const StateSpec& spec : state_of(recipe, height, cols)) {
        auto& [kind_dtype, own] = kinds[spec.kind];
        kind_dtype = spec.count ? spec.dtype : dtype;
        own.whole += spec.count;
        add_to(own, spec.count);
      }
  };
  each_spec(blocks.before, [](OwnShape& own, int64_t count) { own.begin += count; });
  each_spec(blocks.own, [](OwnShape& own, int64_t count) { own.count += count; });
  each_spec(blocks.behind, [](OwnShape&, int64_t) {});
  for (const auto& [kind, shape] : kinds) kept[kind] = new_state(share, kind.c_str(), shape.first, shape.second);
  std::map<std::string, int64_t> taken;
  int64_t begin = 0;
  Batch* columns = nullptr;  // the batch of the blocks of columns; take_columns() later sets the blocks' tensors
  if (matrix && column_blocks(recipe, p) > 1) {
    columns = &batch_for(group, p.rows(), cols, share, static_cast<int64_t>(blocks.own.size()));
    columns->wholes.push_back(slot);
    for (const SlotPart part : moved_parts)
      if (Tensor& x = columns->wholes.back().*part; !x.empty()) x = x.view({p.rows(), p.cols()});
  }
  for (int64_t height : blocks.own) {
    const int64_t size = height * cols;
    Batch& batch = columns ? *columns : batch_for(group, height, cols, share);
    for (const StateSpec& spec : state_of(recipe, height, cols)) {
      const int64_t count = spec.count ? spec.count : size;
      batch.states[spec.kind].push_back(flat(kept[spec.kind]).slice(taken[spec.kind], count));
      taken[spec.kind] += count;
    }
    OptimizerSlot block = slot;
    auto part = [&](const Tensor& x) { return x.empty() ? x : flat(x).slice(begin, size); };
    block.weight = part(slot.weight);
    block.master = part(slot.master);
    block.gradient = part(slot.gradient);
    block.first = part(slot.first);
    block.index += begin;
    batch.slots.push_back(block);
    batch.parameters.push_back(&p);
    begin += size;
  }
}

void Optimizer::take_workspace() {
  std::map<DType, WorkspaceSize> sizes;
  for (const Batch& batch : batches_) {
    if (batch.rows == 0) continue;
    sizes[update_dtype(*batch.recipe, batch.slots[0].weight.dtype)].grow_to(
        workspace_size(*batch.recipe, static_cast<int64_t>(batch.slots.size()), batch.rows, batch.cols));
  }
  for (const auto& [dtype, size] : sizes) workspaces_[dtype] = make_workspace(size, dtype, workspace_memory_);
}

void Optimizer::take_columns() {
  for (const Batch& batch : batches_) columns_.reserve(batch.wholes);
  columns_.take(workspace_memory_);
  for (Batch& batch : batches_) columns_.place(batch.slots, batch.wholes);
}

// MARS clips c = s a - b of each parameter to norm 1. Here a = (1 + k) g with the gradient g, b = k p with the previous
// gradient p, and s is the clipping coefficient of the whole model, which is known only after the ranks have added up
// the gradient norm. Since
//   |s a - b|^2 = s |a - b|^2 + (s^2 - s) |a|^2 + (1 - s) |b|^2,
// it is enough to add up |a - b|^2, |a|^2 and |b|^2 over the ranks. These three sums do not contain s, so the message
// that adds up the gradient norm can contain them too.
ParameterSums Optimizer::sums() const {
  ParameterSums sums;
  if (std::none_of(config_.groups.begin(), config_.groups.end(),
                   [](auto& group) { return group.recipe->mars_adamw(); }))
    return sums;
  for (const Share& share : shares_) sums[share.parameter] = {};
  for (const Batch& batch : batches_) {
    if (batch.corrected.empty()) continue;
    const float k = mars_weight(batch.recipe->mars_gamma, batch.recipe->beta1);
    const int64_t n = static_cast<int64_t>(batch.slots.size());
    Tensor update = update_of(batch), parts = workspaces_.at(DType::f32).sums.slice(0, 3 * n).view({3, n, 1});
    Slots slots = batch.slots;
    std::vector<Tensor> differences, gradients, previous;
    for (int64_t i = 0; i < n; ++i) {
      differences.push_back(update.at(i));
      gradients.push_back(slots[i].gradient.view({batch.rows, batch.cols}));
      previous.push_back(slots[i].first.view({batch.rows, batch.cols}));
      // momentum() adds 0 * gradient to the buffer `first`, which would turn the previous gradient into NaN if the
      // gradient is not finite. After this swap, the gradient is in `first`, and the previous gradient is only read.
      std::swap(slots[i].gradient, slots[i].first);
    }
    backend_.momentum(update, slots, MomentumRule{1, 0, 1 + k, -k});
    backend_.sums_of_squares(parts.at(0), differences, Along::matrix, 1);
    backend_.sums_of_squares(parts.at(1), gradients, Along::matrix, 1 + k);
    backend_.sums_of_squares(parts.at(2), previous, Along::matrix, k);
    const std::vector<float> values = host(parts);
    for (size_t i = 0; i < values.size(); ++i) sums[batch.parameters[i % n]][i / n] += values[i];
  }
  return sums;
}

// Runs AdamW with MARS's corrected and clipped gradient c instead of the gradient.
void Optimizer::mars_step(const Batch& batch, const Recipe& recipe, const Moment& now, const ParameterSums& sums) {
  Tensor update = update_of(batch);
  const float k = mars_weight(recipe.mars_gamma, recipe.beta1);
  backend_.momentum(update, batch.slots, MomentumRule{0, 1, -k, 1 + k, true, now.grad_scale});
  Slots slots = batch.corrected;
  const double s = now.grad_scale;
  for (size_t i = 0; i < slots.size(); ++i) {
    const auto& [difference, gradient, previous] = sums.at(batch.parameters[i]);
    const double squares = s * difference + (s * s - s) * gradient + (1 - s) * previous;
    slots[i].gradient = update.at(static_cast<int64_t>(i));
    if (squares > 1) backend_.scale(slots[i].gradient, static_cast<float>(1 / std::sqrt(squares)));
  }
  AdamWRule rule = adamw_rule(recipe, now);
  rule.grad_scale = 1;
  backend_.adamw(slots, rule);
}

// The part of Workspace::update that a batch uses, as [n, rows, cols].
Tensor Optimizer::update_of(const Batch& batch) const {
  const int64_t n = static_cast<int64_t>(batch.slots.size());
  return workspaces_.at(DType::f32).update.slice(0, n * batch.rows * batch.cols).view({n, batch.rows, batch.cols});
}

std::vector<float> Optimizer::host(Tensor x) const {
  std::vector<float> values(static_cast<size_t>(x.numel()));
  if (x.dtype == DType::f32) {
    backend_.download(values.data(), x);
    return values;
  }
  std::vector<bf16> narrow(values.size());
  backend_.download(narrow.data(), x);
  for (size_t i = 0; i < values.size(); ++i) values[i] = to_float(narrow[i]);
  return values;
}

// The shape of the whole matrix to which a slot belongs, or of the slot's block if the recipe has blocks.
std::pair<int64_t, int64_t> Optimizer::shape_of(const Batch& batch, size_t i) {
  if (batch.recipe->blocks.by != Blocks::By::none) return {batch.rows, batch.cols};
  return {batch.parameters[i]->rows(), batch.parameters[i]->cols()};
}

// Throws Error for a matrix or block of zeros that would stay zero: `retract` keeps the norm 0, and `magnitudes` cannot
// move a row of length 0.
void Optimizer::check_weights() const {
  for (const Batch& batch : batches_) {
    if (batch.recipe->adamw || backend_.name() == "dry") continue;
    if (batch.recipe->retract == Retract::none && batch.recipe->magnitudes == Magnitudes::none) continue;
    columns_.split(backend_, batch.wholes, batch.cols);
    for (size_t i = 0; i < batch.slots.size(); ++i) {
      const std::vector<float> weights = host(batch.slots[i].value());
      if (std::all_of(weights.begin(), weights.end(), [](float w) { return w == 0; }))
        fail(
            "optimizer: {} is zero, and {} would keep it zero; initialize it with other values, or give it to another "
            "recipe (optimizer.groups)",
            batch.parameters[i]->name, batch.recipe->retract == Retract::none ? "magnitudes" : "retract");
    }
  }
}

int64_t Optimizer::period() const {
  int64_t steps = 1;
  for (const Batch& batch : batches_)
    if (batch.recipe->precondition != Precondition::none || batch.recipe->shampoo)
      steps = std::max(steps, std::min<int64_t>(100, batch.recipe->precondition_frequency));
  return steps;
}

void Optimizer::step(int64_t step, const Pace& pace, float grad_scale, const ParameterSums& sums) {
  metrics_.clear();
  if (updates_ == 0) check_weights();
  const bool measured = on_log_steps(step + 1, config_.telemetry_every);
  const std::vector<Watched> watched = measured ? watch() : std::vector<Watched>();
  Moment now;
  now.t = ++updates_;
  now.grad_scale = grad_scale;
  now.rounding = {config_.stochastic, seed_, static_cast<uint64_t>(step)};
  for (Batch& batch : batches_) {
    const Pace own = batch.group->schedule ? batch.group->schedule->pace(step) : pace;
    batch.current = std::make_shared<const Recipe>(batch.recipe->at(step, own));
    const Recipe& recipe = *batch.current;
    now.lr = static_cast<float>(recipe.lr * batch.rate * own.rate);
    for (size_t i = 0; i < batch.parameters.size(); ++i) {
      const auto [rows, cols] = shape_of(batch, i);
      const bool matrix = batch.parameters[i]->shape.size() == 2;
      batch.slots[i].scale = matrix ? shape_factor(recipe, rows, cols, now.t) : static_cast<float>(recipe.radius);
    }
    columns_.split(backend_, batch.wholes, batch.cols);
    if (recipe.adamw && batch.rows == 0)
      backend_.adamw(batch.slots, adamw_rule(recipe, now));
    else if (recipe.adamw)
      mars_step(batch, recipe, now, sums);
    else if (recipe.fused())
      backend_.normalized_step(batch.slots, fused_rule(recipe, now));
    else
      run_stages(backend_, recipe, now, batch.slots, batch.states, batch.rows, batch.cols,
                 workspaces_[update_dtype(recipe, batch.slots[0].weight.dtype)]);
    columns_.join(backend_, batch.wholes, batch.cols);
  }
  if (measured) measure(watched, now);
}

}  // namespace rowan
