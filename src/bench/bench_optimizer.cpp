// rowan bench optimizer: measures the time of each recipe's step on a model's parameters, and counts the step's work
// and memory. The same run measures the ceilings: the speeds of large copies and of large matrix products.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "base/random.h"
#include "bench/bench_run.h"
#include "bench/step_kinds.h"
#include "commands/commands.h"
#include "kernels/ceiling.h"
#include "kernels/dry/dry_backend.h"
#include "model/layout.h"
#include "optim/optimizer.h"
#include "optim/recipes.h"

namespace rowan {
namespace {

struct OptimizerOptions : DeviceOptions {
  std::string model = "configs/models/llama_130m.json", precision = "bf16";
  std::vector<std::string> recipes;
  int steps = 3;
};

// Flat buffers for a model's weights, gradients and, with `masters`, fp32 master weights. Each share covers a whole
// parameter.
struct Buffers {
  Arena arena;
  std::vector<Share> shares;
  Tensor state;  // values that time_steps() copies into the optimizer's state

  Buffers(Backend& backend, const ParameterTable& table, bool masters) : arena(backend, Category::weights) {
    const int64_t n = table.elements();
    Tensor weights = arena.take(masters ? DType::bf16 : DType::f32, {n});
    Tensor master = masters ? arena.take(DType::f32, {n}) : Tensor(), gradients = arena.take(DType::f32, {n});
    std::vector<float> values(1 << 16);
    Random random(1, 0);
    for (float& value : values) value = 0.02f * static_cast<float>(random.normal());
    for (Tensor x : {masters ? master : weights, gradients})  // touches every page
      for (int64_t at = 0; at < n; at += static_cast<int64_t>(values.size()))
        backend.upload(x.slice(at, std::min<int64_t>(values.size(), n - at)), values.data());
    if (masters) backend.copy(weights, master);
    for (float& value : values) value = std::abs(value);
    state = arena.take(DType::f32, {static_cast<int64_t>(values.size())});
    backend.upload(state, values.data());
    for (const Parameter& parameter : table.parameters()) {
      Share share;
      share.parameter = &parameter;
      share.count = parameter.numel();
      share.weight = parameter.in(weights);
      if (masters) share.master = parameter.in(master);
      share.gradient = parameter.in(gradients);
      shares.push_back(share);
    }
  }
};

// For one recipe: the average work per step, the bytes of state and workspace, and the kinds of steps.
struct Costs {
  Work work;
  double state_bytes, workspace_bytes;
  std::vector<StepKind> kinds;
};

Costs costs_of(const OptimizerConfig& config, const ParameterTable& table, bool masters) {
  auto dry = make_dry_backend();
  Buffers buffers(*dry, table, masters);
  Optimizer optimizer(*dry, config, buffers.shares);
  const double period = static_cast<double>(optimizer.period());
  Costs costs{};
  costs.kinds = step_kinds(*dry, optimizer);
  for (const StepKind& kind : costs.kinds) {
    costs.work.bytes += static_cast<double>(kind.count) * kind.work.bytes / period;
    costs.work.flops += static_cast<double>(kind.count) * kind.work.flops / period;
  }
  costs.state_bytes = static_cast<double>(dry->bytes(Category::optimizer_state));
  costs.workspace_bytes = static_cast<double>(dry->bytes(Category::workspace));
  return costs;
}

// Seconds per step: wall-clock time, and CPU time of all threads of this process.
struct Seconds {
  double wall = 0, cpu = 0;
};

// Fills the optimizer's state with nonzero values, as in the middle of a run, and makes a warm-up step of each kind,
// which touches the memory. Then takes the median of `steps` measurements for each kind of step. Returns the mean over
// the kinds, weighted by their counts.
Seconds time_steps(Backend& backend, Optimizer& optimizer, const Tensor& state, const std::vector<StepKind>& kinds,
                   int steps) {
  for (const StateTensor& kept : optimizer.state())
    for (int64_t at = 0, count; at < kept.tensor.numel(); at += count) {
      count = std::min(state.numel(), kept.tensor.numel() - at);
      backend.copy(kept.tensor.slice(at, count), state.slice(0, count));
    }
  for (const StepKind& kind : kinds) make_step(optimizer, kind, 0);
  Seconds mean;
  double all = 0;
  for (const StepKind& kind : kinds) {
    std::vector<double> wall, cpu;
    for (int i = 0; i < steps; ++i) {
      backend.synchronize();
      const std::clock_t cpu_begin = std::clock();
      const auto begin = std::chrono::steady_clock::now();
      make_step(optimizer, kind, i);
      backend.synchronize();
      wall.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
      cpu.push_back(static_cast<double>(std::clock() - cpu_begin) / CLOCKS_PER_SEC);
    }
    const auto count = static_cast<double>(kind.count);
    mean.wall += count * median(wall);
    mean.cpu += count * median(cpu);
    all += count;
  }
  return {mean.wall / all, mean.cpu / all};
}

void bench_optimizer(const OptimizerOptions& o) {
  for (const std::string& recipe : o.recipes) find_recipe(recipe);
  auto backend = make_backend(o);
  const ParameterTable table = parameter_table(model_of(o.model));
  const bool masters = o.precision == "bf16";
  Buffers buffers(*backend, table, masters);
  const double copy = copy_rate(*backend), product = square_product_rate(*backend, masters ? DType::bf16 : DType::f32);
  fmt::print("{} ({} parameters), {}, on {}\n", o.model, table.count(),
             masters ? "bf16 weights with fp32 masters" : "fp32 weights", backend->describe());
  fmt::print("ceilings: copy {:.1f} GB/s (read + write), {} products {:.1f} GFLOP/s\n", copy / 1e9, o.precision,
             product / 1e9);
  fmt::print("{:<18}{:>11}{:>11}{:>10}{:>10}{:>9}{:>9}{:>11}{:>12}\n", "recipe", "ms/step", "CPU ms", "state GB",
             "work GB", "GB", "of copy", "TFLOP", "of product");
  Json result = {{"bench", "optimizer"},     {"device", backend->describe()}, {"model", o.model},
                 {"precision", o.precision}, {"copy_bytes_per_second", copy}, {"product_flops_per_second", product},
                 {"complete", false},        {"rows", Json::array()}};
  for (const std::string& recipe : o.recipes.empty() ? recipe_names() : o.recipes) {
    const OptimizerConfig config = recipe_config(recipe);
    const auto [work, state, workspace, kinds] = costs_of(config, table, masters);
    const std::string costs = fmt::format("{:>10.3f}{:>10.3f}{:>9.3f}", state / 1e9, workspace / 1e9, work.bytes / 1e9);
    Json row = {{"recipe", recipe},
                {"bytes", work.bytes},
                {"flops", work.flops},
                {"state_bytes", state},
                {"workspace_bytes", workspace}};
    if (o.steps == 0) {
      fmt::print("{:<18}{:>22}{}{:>9}{:>11.3f}\n", recipe, "", costs, "", work.flops / 1e12);
    } else {
      Optimizer optimizer(*backend, config, buffers.shares);
      const auto [seconds, cpu] = time_steps(*backend, optimizer, buffers.state, kinds, o.steps);
      fmt::print("{:<18}{:>11.1f}{:>11.1f}{}{:>9.3f}{:>11.3f}{:>12.3f}\n", recipe, seconds * 1e3, cpu * 1e3, costs,
                 work.bytes / seconds / copy, work.flops / 1e12, work.flops / seconds / product);
      row.update({{"seconds", seconds}, {"cpu_seconds", cpu}});
    }
    // A kill leaves the rows so far.
    std::fflush(stdout);
    result["rows"].push_back(row);
    write_json(o.json, result);
  }
  result["complete"] = true;
  write_json(o.json, result);
}

}  // namespace

void add_bench_optimizer(CommandLine& command) {
  auto o = std::make_shared<OptimizerOptions>();
  command.add("--model", o->model, "model config").show_default();
  command.add("--precision", o->precision).one_of({"fp32", "bf16"}).show_default();
  command.add("--recipe", o->recipes, "recipes to measure; all when none is given");
  command
      .add("--steps", o->steps,
           "steps to time, of each kind (some recipes do more work in every Nth step); 0: only count memory and work")
      .at_least(0)
      .show_default();
  add_options(command, static_cast<DeviceOptions&>(*o));
  command.set_action([o] { bench_optimizer(*o); });
}

}  // namespace rowan
