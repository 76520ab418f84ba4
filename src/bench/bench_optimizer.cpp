// rowan bench optimizer: the step of each recipe on a model's parameters, beside what copies and products alone reach
// in the same run.
#include <fmt/core.h>

#include "base/random.h"
#include "bench/bench_run.h"
#include "commands/commands.h"
#include "kernels/ceiling.h"
#include "kernels/dry/dry_backend.h"
#include "model/layout.h"
#include "optim/optimizer.h"

namespace rowan {
namespace {

struct OptimizerOptions : DeviceOptions {
  std::string model = "configs/models/llama_130m.json", precision = "bf16";
  std::vector<std::string> recipes;
  int steps = 3;
};

// Weights, masters and gradients of a model in flat buffers, and the shares that are all of them.
struct Buffers {
  Arena arena;
  std::vector<Share> shares;

  Buffers(Backend& backend, const ParameterTable& table, bool masters) : arena(backend, Category::weights) {
    const int64_t n = table.elements();
    Tensor weights = arena.take(masters ? DType::bf16 : DType::f32, {n});
    Tensor master = masters ? arena.take(DType::f32, {n}) : Tensor(), gradients = arena.take(DType::f32, {n});
    std::vector<float> values(1 << 16);
    Random random(1, 0);
    for (float& value : values) value = 0.02f * static_cast<float>(random.normal());
    for (Tensor x : {masters ? master : weights, gradients})  // every page touched, none of them the zero page
      for (int64_t at = 0; at < n; at += static_cast<int64_t>(values.size()))
        backend.upload(x.slice(at, std::min<int64_t>(values.size(), n - at)), values.data());
    if (masters) backend.copy(weights, master);
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

Work work_of(const OptimizerConfig& config, const ParameterTable& table, bool masters) {
  auto dry = make_dry_backend();
  Buffers buffers(*dry, table, masters);
  Optimizer optimizer(*dry, config, buffers.shares);
  dry->reset_work();
  optimizer.step(1, 1, 1);
  return dry->work();
}

void bench_optimizer(const OptimizerOptions& o) {
  auto backend = make_backend(o);
  const ParameterTable table = parameter_table(load_model(o.model));
  const bool masters = o.precision == "bf16";
  Buffers buffers(*backend, table, masters);
  const double copy = copy_rate(*backend), product = square_product_rate(*backend, masters ? DType::bf16 : DType::f32);
  fmt::print("{} ({} parameters), {}, on {}\n", o.model, table.count(),
             masters ? "bf16 weights with fp32 masters" : "fp32 weights", backend->describe());
  fmt::print("ceilings: copy {:.1f} GB/s (read + write), {} products {:.1f} GFLOP/s\n", copy / 1e9, o.precision,
             product / 1e9);
  fmt::print("{:<16}{:>12}{:>10}{:>10}{:>12}{:>12}\n", "recipe", "ms/step", "GB", "of copy", "TFLOP", "of product");
  Json rows = Json::array();
  for (const std::string& recipe : o.recipes.empty() ? recipe_names() : o.recipes) {
    const OptimizerConfig config = recipe_config(recipe);
    const Work work = work_of(config, table, masters);
    Optimizer optimizer(*backend, config, buffers.shares);
    int64_t step = 0;
    const double seconds = median_seconds(*backend, o.steps, [&] { optimizer.step(step++, 1e-3, 1); });
    fmt::print("{:<16}{:>12.1f}{:>10.3f}{:>10.3f}{:>12.3f}{:>12.3f}\n", recipe, seconds * 1e3, work.bytes / 1e9,
               work.bytes / seconds / copy, work.flops / 1e12, work.flops / seconds / product);
    rows.push_back({{"recipe", recipe}, {"seconds", seconds}, {"bytes", work.bytes}, {"flops", work.flops}});
  }
  write_json(o.json, {{"bench", "optimizer"},
                      {"device", backend->describe()},
                      {"model", o.model},
                      {"precision", o.precision},
                      {"copy_bytes_per_second", copy},
                      {"product_flops_per_second", product},
                      {"rows", rows}});
}

}  // namespace

void add_bench_optimizer(CommandLine& command) {
  auto o = std::make_shared<OptimizerOptions>();
  command.add("--model", o->model, "model config").show_default();
  command.add("--precision", o->precision).one_of({"fp32", "bf16"}).show_default();
  command.add("--recipe", o->recipes, "recipes to measure; all when none is given");
  command.add("--steps", o->steps).at_least(1).show_default();
  add_options(command, static_cast<DeviceOptions&>(*o));
  command.set_action([o] { bench_optimizer(*o); });
}

}  // namespace rowan
