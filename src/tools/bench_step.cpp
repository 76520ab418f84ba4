// rowan bench step, rowan bench gemm: training speed beside what the device's products alone reach in the same run.
#include "base/error.h"
#include "base/random.h"
#include "kernels/ceiling.h"
#include "model/model.h"
#include "tools/commands.h"
#include "train/device.h"

namespace rowan {
namespace {

struct StepOptions {
  std::string model = "configs/models/gpt2_124m.json", precision = "fp32", device = "auto", recompute = "none";
  int64_t batch = 4, seq = 256;
  int steps = 5, threads = 0;
};

// FLOP/s over every product of a training step and nothing else: forward, input and weight gradients of each linear
// layer and of the head (in the model's pieces), on plain operands.
double model_product_rate(Backend& backend, const ModelConfig& config, const ModelOptions& options) {
  const int64_t tokens = options.batch * options.seq;
  double flops = 0, seconds = 0;
  auto measure = [&](int64_t n, int64_t in, int64_t out, int64_t times) {
    Arena arena(backend, Category::workspace);
    Tensor x = arena.take(options.compute, {n, in}), y = arena.take(options.compute, {n, out});
    Tensor w = arena.take(options.compute, {out, in}), dw = arena.take(options.gradient, {out, in});
    const double count = static_cast<double>(times);
    seconds += count * median_seconds(backend, 1, [&] {
                 backend.linear_forward(y, x, w, Tensor());
                 backend.linear_backward_input(x, y, w, false);
                 backend.linear_backward_weight(dw, Tensor(), y, x);
               });
    flops += count * 6.0 * static_cast<double>(n) * static_cast<double>(in * out);
  };
  const AttentionShape shape = config.attention(options.batch, options.seq, 0);
  measure(tokens, config.hidden, shape.qkv_width(), config.layers);
  measure(tokens, shape.out_width(), config.hidden, config.layers);
  measure(tokens, config.hidden, config.mlp_in_width(), config.layers);
  measure(tokens, config.intermediate, config.hidden, config.layers);
  const int64_t rows = logit_chunk_rows(config, tokens, options.compute);
  measure(rows, config.hidden, config.vocabulary, (tokens + rows - 1) / rows);
  return flops / seconds;
}

void bench_step(const StepOptions& o) {
  auto backend = make_backend(o.device, o.threads, 0);
  ModelConfig config = load_model(o.model);
  ModelOptions options;
  options.batch = o.batch;
  options.seq = o.seq;
  options.compute = o.precision == "fp32" ? DType::f32 : DType::bf16;
  options.recompute = o.recompute == "none"  ? Recompute::none
                      : o.recompute == "mlp" ? Recompute::mlp
                                             : Recompute::block;
  Model model(*backend, config, options);
  model.initialize(1);

  const int64_t n = o.batch * o.seq;
  Arena arena(*backend, Category::data);
  Tensor tokens = arena.take(DType::i32, {n}), targets = arena.take(DType::i32, {n});
  Random random(1, 0);
  std::vector<int32_t> ids(n + 1);
  for (int32_t& id : ids) id = static_cast<int32_t>(random.below(config.vocabulary));
  backend->upload(tokens, ids.data());
  backend->upload(targets, ids.data() + 1);

  OptimizerSlot slot;
  Arena state(*backend, Category::optimizer_state);
  const int64_t elements = model.parameters().elements();
  slot.weight = model.weights();
  slot.gradient = model.gradients();
  if (options.compute != DType::f32) slot.master = state.take(DType::f32, {elements});
  slot.first = state.take(DType::f32, {elements});
  slot.second = state.take(DType::f32, {elements});
  const AdamWRule rule{0.9f, 0.95f, 1.0f, 1e-8f, 1e-4f, 0.0f, 1.0f, {}};

  const double before = model_product_rate(*backend, config, options);
  const double seconds = median_seconds(*backend, o.steps, [&] {
    model.zero_gradients();
    model.loss_and_gradients(tokens, targets, 1.0f / static_cast<float>(n));
    backend->adamw({slot}, rule);
  });
  const double after = model_product_rate(*backend, config, options);
  const double ceiling = (before + after) / 2, flops = static_cast<double>(n) * flops_per_token(config, o.seq).causal;
  fmt::print("{} {} B={} T={} on {}\n", o.model, o.precision, o.batch, o.seq, backend->describe());
  fmt::print("  step               {:>10.1f} ms (forward, backward, AdamW; median of {})\n", seconds * 1e3, o.steps);
  fmt::print("  tokens/s           {:>10.1f}\n", static_cast<double>(n) / seconds);
  fmt::print("  model              {:>10.1f} GFLOP/s (6 FLOPs a weight and token, causal attention)\n",
             flops / seconds / 1e9);
  fmt::print("  its products alone {:>10.1f} GFLOP/s (before {:.1f}, after {:.1f})\n", ceiling / 1e9, before / 1e9,
             after / 1e9);
  fmt::print("  ratio              {:>10.3f}\n", flops / seconds / ceiling);
}

}  // namespace

void add_bench_step(CLI::App& bench) {
  auto o = std::make_shared<StepOptions>();
  CLI::App* step = bench.add_subcommand("step", "tokens/s of a training step, beside its products alone");
  step->add_option("--model", o->model, "model config")->capture_default_str();
  step->add_option("--batch", o->batch, "sequences")->check(CLI::PositiveNumber)->capture_default_str();
  step->add_option("--seq", o->seq, "tokens a sequence")->check(CLI::PositiveNumber)->capture_default_str();
  step->add_option("--precision", o->precision)->check(CLI::IsMember({"fp32", "bf16"}))->capture_default_str();
  step->add_option("--recompute", o->recompute)->check(CLI::IsMember({"none", "mlp", "block"}))->capture_default_str();
  step->add_option("--steps", o->steps)->check(CLI::PositiveNumber)->capture_default_str();
  step->add_option("--device", o->device)->check(CLI::IsMember({"auto", "cpu", "cuda"}))->capture_default_str();
  step->add_option("--threads", o->threads, "of the CPU; 0: all")->capture_default_str();
  step->callback([o] { bench_step(*o); });

  CLI::App* gemm = bench.add_subcommand("gemm", "product and copy ceilings");
  gemm->add_option("--device", o->device)->check(CLI::IsMember({"auto", "cpu", "cuda"}))->capture_default_str();
  gemm->add_option("--threads", o->threads, "of the CPU; 0: all")->capture_default_str();
  gemm->callback([o] {
    auto backend = make_backend(o->device, o->threads, 0);
    fmt::print("{}\n", backend->describe());
    for (int64_t n : {512, 1024, 2048})
      fmt::print("  product {0}x{0}x{0}: fp32 {1:.1f} GFLOP/s, bf16 {2:.1f} GFLOP/s\n", n,
                 square_product_rate(*backend, DType::f32, n) / 1e9,
                 square_product_rate(*backend, DType::bf16, n) / 1e9);
    fmt::print("  copy: {:.1f} GB/s (read + write)\n", copy_rate(*backend) / 1e9);
  });
}

}  // namespace rowan
