// `rowan bench step` measures training speed and the speed of the products of the model's linear layers, in one run.
// `rowan bench gemm` measures the speeds of square matrix products, of copies and, on a CPU, of single tiles.
#include <fmt/core.h>

#include <algorithm>

#include "bench/bench_run.h"
#include "bench/model_products.h"
#include "commands/commands.h"
#include "kernels/backend.h"
#include "kernels/ceiling.h"
#include "kernels/cpu_levels.h"

namespace rowan {
namespace {

struct StepBench : StepOptions {
  std::string optimizer = "adamw";
  int steps = 5;
};

void bench_step(const StepBench& o) {
  auto backend = make_backend(o);
  BenchRun run(*backend, o, o.optimizer);
  const ModelConfig& config = run.config.model;
  const ModelOptions& options = run.trainer().model().options();
  const double peak = peak_product_rate(*backend, options.compute);
  const bool published = published_product_rate(backend->describe(), options.compute).has_value();

  const TrainingFlops flops = flops_per_token(config, o.seq);
  const double tokens = static_cast<double>(o.batch * o.seq);

  // Some recipes do more work in every Nth step, so whole periods are timed. The period before is not timed: it touches
  // the memory and starts the state of the optimizer.
  const int64_t period = run.trainer().optimizer().period();
  const auto steps_of_a_period = [&] {
    for (int64_t i = 0; i < period; ++i) run.trainer().step();
  };
  steps_of_a_period();
  // Steps and products alternate, so that other processes slow down both about equally.
  ModelProducts model_products(*backend, config, options);
  std::vector<double> step_seconds, product_rates{model_products.measure()}, ratios;
  for (int i = 0; i < o.steps; ++i) {
    step_seconds.push_back(seconds_of(*backend, steps_of_a_period) / static_cast<double>(period));
    product_rates.push_back(model_products.measure());
    const double beside = (product_rates[product_rates.size() - 2] + product_rates.back()) / 2;
    ratios.push_back(tokens / step_seconds.back() * flops.causal / beside);
  }
  const double seconds = median(step_seconds), products = median(product_rates), ratio = median(ratios),
               rate = tokens / seconds;
  fmt::print("{} {} B={} T={} on {}\n", o.model, o.precision, o.batch, o.seq, backend->describe());
  fmt::print("  step               {:>10.1f} ms (forward, backward, norm, clipping, {}; {})\n", seconds * 1e3,
             o.optimizer, median_text(o.steps, period));
  fmt::print("  tokens/s           {:>10.1f}\n", rate);
  fmt::print(
      "  model              {:>10.1f} GFLOP/s with causal attention, {:.1f} with full (6 FLOPs a weight and token)\n",
      rate * flops.causal / 1e9, rate * flops.full / 1e9);
  fmt::print("  MFU                {:>10.3f} with causal attention, {:.3f} with full, of {:.1f} TFLOP/s ({})\n",
             rate * flops.causal / peak, rate * flops.full / peak, peak / 1e12,
             published ? "data sheet" : "measured on square products");
  const auto [slowest, fastest] = std::minmax_element(product_rates.begin(), product_rates.end());
  const auto [lowest, highest] = std::minmax_element(ratios.begin(), ratios.end());
  fmt::print("  its products alone {:>10.1f} GFLOP/s ({:.1f} to {:.1f})\n", products / 1e9, *slowest / 1e9,
             *fastest / 1e9);
  fmt::print("  step / products    {:>10.3f} ({:.3f} to {:.3f})\n", ratio, *lowest, *highest);
  Json result = result_of("step", o);
  result.update({{"device", backend->describe()},
                 {"optimizer", o.optimizer},
                 {"seconds", seconds},
                 {"steps_of_a_period", period},
                 {"tokens_per_second", rate},
                 {"mfu_causal", rate * flops.causal / peak},
                 {"mfu_full", rate * flops.full / peak},
                 {"peak_flops_per_second", peak},
                 {"peak_is_published", published},
                 {"product_flops_per_second", products},
                 {"of_products", ratio}});
  write_json(o.json, result);
}

void bench_gemm(const DeviceOptions& o) {
  auto backend = make_backend(o);
  fmt::print("{}\n", backend->describe());
  Json rows = Json::array();
  for (int64_t n :
       backend->host_memory() ? std::vector<int64_t>{512, 1024, 2048} : std::vector<int64_t>{2048, 4096, 8192}) {
    const double fp32 = square_product_rate(*backend, DType::f32, n),
                 bf16 = square_product_rate(*backend, DType::bf16, n);
    fmt::print("  product {0}x{0}x{0}: fp32 {1:.1f} GFLOP/s, bf16 {2:.1f} GFLOP/s\n", n, fp32 / 1e9, bf16 / 1e9);
    rows.push_back({{"size", n}, {"fp32_flops_per_second", fp32}, {"bf16_flops_per_second", bf16}});
  }
  const double copy = copy_rate(*backend);
  fmt::print("  copy: {:.1f} GB/s (read + write)\n", copy / 1e9);
  Json tiles = Json::array();
  if (backend->host_memory())
    for (const std::string& level : cpu_levels()) {
      const TileRates r = tile_rates(level);
      fmt::print("  {}, one core: tile product 64x64x64 {:.1f} GFLOP/s, left operand transposed {:.1f}, peak {:.1f}\n",
                 level, r.tile / 1e9, r.transposed_tile / 1e9, r.peak / 1e9);
      tiles.push_back({{"level", level},
                       {"tile_flops_per_second", r.tile},
                       {"transposed_tile_flops_per_second", r.transposed_tile},
                       {"peak_flops_per_second", r.peak}});
    }
  write_json(o.json, {{"bench", "gemm"},
                      {"device", backend->describe()},
                      {"copy_bytes_per_second", copy},
                      {"rows", rows},
                      {"tiles", tiles}});
}

}  // namespace

void add_bench_step(CommandLine& command) {
  auto o = std::make_shared<StepBench>();
  add_options(command, static_cast<StepOptions&>(*o));
  command.add("--optimizer", o->optimizer, "recipe").show_default();
  add_steps_option(command, o->steps);
  command.set_action([o] { bench_step(*o); });
}

void add_bench_gemm(CommandLine& command) {
  auto device = std::make_shared<DeviceOptions>();
  add_options(command, *device);
  command.set_action([device] { bench_gemm(*device); });
}

}  // namespace rowan
