#include "train/plan.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/error.h"
#include "base/human.h"
#include "base/memory.h"
#include "comm/transports.h"
#include "model/size.h"
#include "optim/optimizer.h"
#include "train/micro_batch.h"
#include "train/model_options.h"
#include "train/update_costs.h"

namespace rowan {

namespace {

// The traffic of rank `rank` in a step, counted by running the passes and the exchange of weights on a dry
// communicator.
Traffic traffic_of(const TrainConfig& config, int rank, int ranks, const std::vector<UpdateCost>& costs, bool masters) {
  auto dry = make_dry_backend();
  auto communicator = make_dry_communicator(rank, ranks);
  ModelOptions options = model_options(config, ranks);
  Model model(*dry, config.model, options);
  Sharding sharding(*communicator, *dry, model, costs, config.shard, config.reduce, masters);
  Arena data(*dry, Category::data);
  Tensor tokens = data.take(DType::i32, {options.batch * options.seq});
  const int64_t count = micro_steps(config.batch, ranks);
  sharding.begin_step();
  // All micro-steps between the first and the last send the same messages, so only one of them is run.
  const int64_t made = std::min<int64_t>(count, 3);
  Traffic before, second;
  for (int64_t micro = 0; micro < made; ++micro) {
    sharding.begin_micro_step(micro + 1 == made);
    if (micro == 1) before = communicator->traffic();
    model.loss_and_gradients(tokens, tokens, 1, micro > 0);
    if (micro == 1) second = communicator->traffic();
  }
  sharding.finish_gradients();
  sharding.weights_changed();
  Traffic traffic = communicator->traffic();
  for (size_t kind = 0; kind < traffic.bytes.size(); ++kind) {
    traffic.calls[kind] += static_cast<uint64_t>(count - made) * (second.calls[kind] - before.calls[kind]);
    traffic.bytes[kind] += static_cast<uint64_t>(count - made) * (second.bytes[kind] - before.bytes[kind]);
  }
  return traffic;
}

// Advice on which setting to change so that the run needs less memory.
std::string remedy(const TrainConfig& config, const Plan& plan, int ranks, size_t available) {
  size_t of_batch = 0;
  for (Category category : {Category::activations, Category::workspace, Category::data})
    of_batch += plan.bytes[static_cast<size_t>(category)];
  const size_t rest = plan.total_bytes - std::min(plan.total_bytes, of_batch);
  if (rest + of_batch / static_cast<size_t>(micro_batch(config.batch, ranks)) <= available)
    return "set a smaller batch.micro_batch, or set recompute";
  if (rest <= available) return "lower batch.sequence_length or set recompute";
  const SizeKey key = largest_key(config.model);
  return fmt::format("lower model.{}, which is {}", key.name, key.value);
}

// If one matrix makes the ranks' work uneven, returns the reason and the remedy, otherwise "". With Atom::matrix one
// rank updates the whole matrix, or a whole block of the matrix's rows, so this work cannot be divided further.
std::string uneven_text(const ParameterTable& table, const std::vector<UpdateCost>& costs, int ranks) {
  double total = 0, largest = 0;
  std::string name;
  for (size_t i = 0; i < costs.size(); ++i) {
    total += costs[i].work;
    const Parameter& parameter = table.parameters()[i];
    const int64_t blocks = costs[i].block_rows ? parameter.rows() / costs[i].block_rows : 1;
    const double work = costs[i].work / static_cast<double>(blocks);
    if (costs[i].atom != Atom::matrix || work <= largest) continue;
    largest = work, name = (blocks > 1 ? "one block of " : "") + parameter.name;
  }
  if (largest * ranks <= 1.08 * total) return "";
  return fmt::format(
      "one rank updates the whole of {}, which is {:.2f} times an equal share of the work; use at most {} ranks, or a "
      "recipe that works by row or element (optimizer.groups)",
      name, largest * ranks / total, std::max(1, static_cast<int>(1.08 * total / largest)));
}

// Adds the kernels `from`, which run `times` times per step, to `to`. Kernels of the same name, bound and dtype are
// merged.
void add_kernels(std::vector<Kernel>& to, const std::vector<Kernel>& from, double times) {
  for (const Kernel& kernel : from) {
    auto same = std::find_if(to.begin(), to.end(), [&](const Kernel& other) {
      return other.name == kernel.name && other.bound == kernel.bound && other.dtype == kernel.dtype;
    });
    if (same == to.end()) same = to.insert(same, {kernel.name, kernel.bound, kernel.dtype, 0, 0, 0});
    same->calls += times * kernel.calls;
    same->flops += times * kernel.flops;
    same->bytes += times * kernel.bytes;
  }
}

}  // namespace

Plan make_plan(const TrainConfig& config, int ranks) {
  auto dry = make_dry_backend(config.attention, config.device == Device::cuda ? planned_multiprocessors : 0);
  const bool masters = config.precision == TrainPrecision::bf16;
  ModelOptions options = model_options(config, ranks);
  Model model(*dry, config.model, options);
  auto communicator = make_dry_communicator(0, ranks);
  const std::vector<UpdateCost> costs = update_costs(config.optimizer, model.parameters(), config.precision);
  Sharding sharding(*communicator, *dry, model, costs, config.shard, config.reduce, masters);
  Optimizer optimizer(*dry, config.optimizer, sharding.shares(), config.run.seed);
  Averages averages(*dry, config.average, config.run.steps, sharding.shares());
  Arena data(*dry, Category::data);
  const int64_t n = options.batch * options.seq;
  Tensor tokens = data.take(DType::i32, {n}), targets = data.take(DType::i32, {n}),
         loss_sum = data.take(DType::f32, {1});

  Plan plan;
  if (const Ownership* ownership = sharding.ownership()) {
    plan.work_balance = ownership->work_balance();
    plan.memory_balance = ownership->memory_balance();
    plan.uneven = uneven_text(model.parameters(), costs, ranks);
  }
  for (int rank = 0; ranks > 1 && rank < ranks; ++rank) {
    const Traffic traffic = traffic_of(config, rank, ranks, costs, masters);
    plan.weight_bytes_sent += static_cast<double>(traffic.bytes_of(Message::broadcast)) / ranks;
    plan.gradient_bytes_sent +=
        static_cast<double>(traffic.tensor_bytes() - traffic.bytes_of(Message::broadcast)) / ranks;
  }
  model.loss_and_gradients(tokens, targets, 1, false);
  const double count = static_cast<double>(micro_steps(config.batch, ranks));
  plan.step_flops = dry->work().flops * count;
  plan.step_flops_full = dry->work().flops_full * count;
  plan.attention_flops = dry->work(OpFamily::attention).flops * count;
  add_kernels(plan.kernels, dry->kernels(), 1);
  dry->reset_work();
  model.loss_and_gradients(tokens, targets, 1, true);
  add_kernels(plan.kernels, dry->kernels(), count - 1);
  dry->reset_work();
  sharding.begin_step();
  sharding.finish_gradients();
  sharding.sum_over_ranks(loss_sum, {});
  add_kernels(plan.kernels, dry->kernels(), 1);
  dry->reset_work();
  const int64_t period = optimizer.period();
  for (int64_t step = 1; step <= period; ++step) {
    optimizer.step(step, 1, 1);
    averages.update(config.run.steps);
  }
  plan.optimizer_flops = dry->work().flops / static_cast<double>(period);
  plan.optimizer_bytes = dry->work().bytes / static_cast<double>(period);
  add_kernels(plan.kernels, dry->kernels(), 1 / static_cast<double>(period));
  for (int c = 0; c < category_count; ++c) plan.bytes[c] = dry->peak_bytes(static_cast<Category>(c));
  plan.total_bytes = dry->peak_bytes();
  return plan;
}

void check_memory(const TrainConfig& config, const Backend& backend, int ranks, int here) {
  const Plan plan = make_plan(config, ranks);
  const size_t available = available_memory(), share = available / static_cast<size_t>(here);
  if (backend.host_memory() && plan.total_bytes > share)
    fail("out of memory: found {1} free, expected {0} on each{2}; {3} (rowan plan shows the memory of each part)",
         human_bytes(static_cast<double>(plan.total_bytes)), human_bytes(static_cast<double>(available)),
         here > 1 ? fmt::format(" of this machine's {} ranks", here) : " rank", remedy(config, plan, ranks, share));
}

std::string memory_text(const Plan& plan) {
  std::string text = human_bytes(static_cast<double>(plan.total_bytes)) + " at most:";
  for (int c = 0; c < category_count; ++c)
    if (plan.bytes[c])
      text +=
          fmt::format(" {} {},", name_of(static_cast<Category>(c)), human_bytes(static_cast<double>(plan.bytes[c])));
  text.pop_back();
  return text;
}

int64_t checkpoints_kept(const RunConfig& run) {
  const int64_t steps = std::max<int64_t>(run.steps, 1);
  const auto kept_below = [&](int64_t step) { return run.keep_every ? (step - 1) / run.keep_every : 0; };
  if (run.checkpoint_seconds > 0) return std::min(steps, run.keep + kept_below(steps)) + run.keep_best;
  int64_t newest = 0, at = steps;
  for (; at > 0 && newest < run.keep; ++newest) {
    int64_t before = 0;
    for (int64_t every : {run.checkpoint_every, run.keep_every, run.keep_best ? run.eval_every : 0})
      if (every > 0) before = std::max(before, (at - 1) / every * every);
    at = before;
  }
  return newest + kept_below(at + 1) + run.keep_best;
}

}  // namespace rowan
