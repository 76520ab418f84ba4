#include "train/plan.h"

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "base/console.h"
#include "base/error.h"
#include "base/human.h"
#include "base/names.h"
#include "commands/commands.h"
#include "data/attended_share.h"
#include "kernels/backend.h"
#include "kernels/gpu_limits.h"
#include "optim/routing.h"
#include "train/data_need.h"
#include "train/device.h"
#include "train/known_peak.h"
#include "train/report.h"
#include "train/step_budget.h"

namespace rowan {
namespace {

struct PlanOptions {
  std::string config;
  std::vector<std::string> overrides;
  int ranks = 1;
  std::string device;
  double price = 0;   // price of a GPU hour; 0: not given
  double memory = 0;  // memory of a device in GiB; 0: not given
};

// Fewer GPU hours than this are not printed.
constexpr double fewest_hours = 0.1;

// The column at which a continuation line begins: `at_row` in a row, `at_part` in an indented row.
constexpr size_t at_row = 13, at_part = 19;

template <typename... Args>
void print_row(std::string_view name, fmt::format_string<Args...> format, Args&&... args) {
  print_wrapped(at_row, "{:<12} {}\n", name, fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
void print_part(std::string_view name, fmt::format_string<Args...> format, Args&&... args) {
  print_wrapped(at_part, "  {:<16} {}\n", name, fmt::format(format, std::forward<Args>(args)...));
}

// The size of a checkpoint in bytes: optimizer state, weights and averages of the weights. A checkpoint holds the
// weights in bf16 if the run trains them in bf16 without fp32 masters, otherwise in fp32. Averages are fp32. The size
// always includes them, although a checkpoint has an average only after averaging has started.
double checkpoint_bytes(TrainConfig config, const ParameterTable& table) {
  config.shard = ShardMode::none;
  const bool bf16 =
      config.precision == TrainPrecision::bf16_stochastic || config.precision == TrainPrecision::bf16_pure;
  const int averages = (config.average.ema > 0) + (config.average.tail > 0);
  return static_cast<double>(table.count()) * ((bf16 ? 2 : 4) + 4 * averages) +
         static_cast<double>(make_plan(config, 1).bytes[static_cast<int>(Category::optimizer_state)]);
}

// Describes the largest micro-batch with which the run fits into `memory` bytes, and the memory that the next larger
// micro-batch needs, if there is one. If no micro-batch fits, describes the memory that the smallest one needs.
std::string largest_micro_batch(TrainConfig config, int ranks, double memory) {
  const int64_t share = config.batch.sequences / ranks;
  std::vector<int64_t> sizes;  // the divisors of `share`, largest first
  for (int64_t size = 1; size <= share / size; ++size) {
    if (share % size) continue;
    sizes.push_back(size);
    if (size != share / size) sizes.push_back(share / size);
  }
  std::sort(sizes.rbegin(), sizes.rend());
  int64_t most = most_tokens_at_once / config.batch.sequence_length;
  if (config.device == Device::cuda) most = std::min(most, gpu_limits(planned_shared_bytes).batch);
  std::string larger;
  for (int64_t size : sizes) {
    if (size > most) continue;
    config.batch.micro_batch = size;
    const auto bytes = static_cast<double>(make_plan(config, ranks).total_bytes);
    if (bytes <= memory && size == share)
      return fmt::format("{}, all sequences of a rank, fit: {} of {}", size, human_bytes(bytes), human_bytes(memory));
    if (bytes <= memory)
      return fmt::format("{} at most: {} of {}{}", size, human_bytes(bytes), human_bytes(memory), larger);
    larger = fmt::format("; {} would take {}", size, human_bytes(bytes));
  }
  return fmt::format("none fits into {}{}", human_bytes(memory), larger);
}

// The run's memory with each setting of `recompute`.
std::string recompute_text(TrainConfig config, int ranks) {
  std::string text;
  for (const Recompute choice : {Recompute::none, Recompute::mlp, Recompute::block}) {
    config.recompute = choice;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name_of(choice),
                        human_bytes(static_cast<double>(make_plan(config, ranks).total_bytes)));
  }
  return text;
}

// attended_share() of the config's data: 1 without data.documents; nullopt if the data cannot be opened.
std::optional<double> known_share(const TrainConfig& config) {
  if (!config.data.documents) return 1;
  try {
    const BatchSource batches(config.data, config.batch.sequence_length, config.run.seed, config.model.vocabulary);
    return attended_share(batches, config.data.documents);
  } catch (const Error&) {
    return {};
  }
}

// Describes the FLOPs of the run. If `cpu` is given and its speed in matrix products is known, adds the least time on
// this CPU. Adds the GPU hours unless they are below fewest_hours.
std::string run_text(const TrainConfig& config, const Backend* cpu, double flops) {
  constexpr double gpu_rate = 3e14;
  std::string text = fmt::format("{:.3g} FLOPs", flops);
  if (cpu)
    if (const auto peak = known_peak(*cpu, compute_dtype(config.precision), 1))
      text += fmt::format("; at least {} here, at {} in products", human_duration(flops / *peak), human_flops(*peak));
  const double hours = flops / gpu_rate / 3600;
  if (hours >= fewest_hours)
    text += fmt::format("; {:.3g} GPU hours at {}, about 30% of an H100's peak in bf16", hours, human_flops(gpu_rate));
  return text;
}

// Prints the estimated times of a step and of the run on a GPU, and a table of kernels.
void print_budget(const TrainConfig& config, const Plan& plan, const PlanOptions& options, const DeviceProfile& device,
                  double model_flops) {
  const bool tf32 = config.precision == TrainPrecision::tf32;
  const StepBudget budget = step_budget(plan, device, tf32);
  const double tokens = static_cast<double>(config.batch.sequences * config.batch.sequence_length),
               seconds = budget.step_seconds(),
               hours = seconds * static_cast<double>(config.run.steps * options.ranks) / 3600,
               rate = device.products(compute_dtype(config.precision), tf32);
  print_row("budget", "{}: products at {}, copies at {:.3g} TB/s; an estimate, nothing was measured", device.name,
            human_flops(rate), device.copy / 1e12);
  print_part("a step", "{:.4g} ms: {} tokens/s on {} GPU{}, {:.1f}% of the products' rate, attention causal",
             seconds * 1e3, human_count(tokens / seconds), options.ranks, options.ranks == 1 ? "" : "s",
             100 * model_flops * tokens / (seconds * options.ranks * rate));
  if (options.ranks > 1)
    print_part("messages", "{}",
               device.link > 0 ? fmt::format("{:.4g} ms of each GPU's link, during kernels of {:.4g} ms",
                                             budget.message_seconds * 1e3, budget.kernel_seconds * 1e3)
                               : "not counted: the profile has no link");
  print_part("the run", "{}{}, without evaluations and checkpoints{}",
             human_duration(seconds * static_cast<double>(config.run.steps)),
             hours >= fewest_hours ? fmt::format(", {:.3g} GPU hours", hours) : "",
             options.price > 0 ? fmt::format(": {:.2f} at {:g} an hour", hours * options.price, options.price) : "");
  if (device.memory > 0 && static_cast<double>(plan.total_bytes) > device.memory)
    print_part("memory", "does not fit: {} of {}", human_bytes(static_cast<double>(plan.total_bytes)),
               human_bytes(device.memory));
  print_wrapped(at_part, "  {:>8} {:>6} {:>8} {:>9} {:>9}   kernel\n", "ms", "share", "calls", "TFLOP", "GB");
  for (const BudgetRow& part : budget.rows) {
    if (part.seconds < 1e-4 * budget.kernel_seconds && part.kernel.bound != Bound::epilogue) continue;
    print_wrapped(at_part, "  {:>8.3f} {:>5.1f}% {:>8.6g} {:>9} {:>9.3f}   {}\n", part.seconds * 1e3,
                  100 * part.seconds / budget.kernel_seconds, part.kernel.calls,
                  part.kernel.flops > 0 ? fmt::format("{:.3f}", part.kernel.flops / 1e12) : "", part.kernel.bytes / 1e9,
                  part.kernel.name + (part.seconds > 0 ? "" : ", fused into the preceding product"));
  }
}

void print_ranks(const TrainConfig& config, const Plan& plan, int ranks) {
  print_row("ranks", "{}, shard {}: each sends {} a step", ranks, name_of(config.shard),
            human_bytes(plan.gradient_bytes_sent + plan.weight_bytes_sent));
  print_part("gradients", "{}, reduced in {}", human_bytes(plan.gradient_bytes_sent),
             config.reduce == DType::bf16 ? "bf16" : "fp32");
  print_part("weights", "{}", human_bytes(plan.weight_bytes_sent));
  if (config.shard != ShardMode::none)
    print_part("largest share", "{:.3f} times the mean in optimizer work, {:.3f} times in optimizer memory",
               plan.work_balance, plan.memory_balance);
  if (!plan.uneven.empty()) print_part("uneven", "{}", plan.uneven);
}

void run_plan(const PlanOptions& options) {
  if (options.price > 0 && options.device.empty()) fail("--price: needs --device, the GPU whose hours are counted");
  TrainConfig config = load_config(options.config, {options.overrides.begin(), options.overrides.end()});
  std::optional<DeviceProfile> device;
  if (!options.device.empty()) device = device_profile(options.device);
  if (device || config.attention == AttentionKernels::cudnn) config.device = Device::cuda;
  std::unique_ptr<Backend> cpu;
  if (config.device != Device::cuda) {
    cpu = make_backend(config.device, 0, 0);
    if (!cpu->host_memory()) {
      config.device = Device::cuda;
      cpu.reset();
    } else if (config.precision == TrainPrecision::automatic) {
      resolve_precision(config, cpu->fast(DType::bf16));
    }
  }
  resolve_precision(config, true);  // if the precision is still automatic, assumes a GPU with fast bf16
  const ParameterTable table = parameter_table(config.model);
  const Plan plan = make_plan(config, options.ranks);
  const auto bytes = [](double b) { return human_bytes(b); };
  print_row("parameters", "{} ({})", table.count(), human_count(static_cast<double>(table.count())));
  for (int role = 0; role < role_count; ++role)
    if (table.count(static_cast<Role>(role)))
      print_part(name_of(static_cast<Role>(role)), "{}", table.count(static_cast<Role>(role)));
  print_wrapped(at_row, "{}", describe_groups(config.optimizer, table));
  print_row("memory", "{} at most on each of {} ranks", bytes(static_cast<double>(plan.total_bytes)), options.ranks);
  for (int c = 0; c < category_count; ++c)
    if (plan.bytes[c]) print_part(name_of(static_cast<Category>(c)), "{}", bytes(static_cast<double>(plan.bytes[c])));
  print_part("with recompute", "{}", recompute_text(config, options.ranks));
  const double tokens = static_cast<double>(config.batch.sequences * config.batch.sequence_length) / options.ranks;
  const TrainingFlops model = flops_per_token(config.model, config.batch.sequence_length);
  print_row("FLOPs", "{} a token with causal attention, {} with full (recomputation not counted)",
            human_count(model.causal), human_count(model.full));
  print_part("attention", "{:.1f}% of the causal FLOPs; {}", 100 * model.attention / model.causal,
             config.attention == AttentionKernels::cudnn
                 ? "cuDNN's backward stores the scores"
                 : "scores are not stored, so memory grows linearly with sequence_length");
  const std::optional<double> share = known_share(config);
  if (config.data.documents && share)
    print_part("documents",
               "attention within documents is {:.1f}% of whole rows (first rows of the data): {} FLOPs a token",
               100 * *share, human_count(model.within(*share)));
  if (!share) print_part("documents", "their length is unknown without the data; attention over whole rows is assumed");
  const double executed = plan.step_flops - (1 - share.value_or(1)) * plan.attention_flops;
  print_part("executed", "{} a token and rank, recomputation included", human_count(executed / tokens));
  print_part("optimizer", "{} a step and rank, {} moved", human_count(plan.optimizer_flops),
             bytes(plan.optimizer_bytes));
  if (!device)
    print_part("the run", "{}",
               run_text(config, cpu.get(), executed * options.ranks * static_cast<double>(config.run.steps)));
  print_row("steps", "{} of {} sequences of {} tokens: {} tokens", config.run.steps, config.batch.sequences,
            config.batch.sequence_length,
            human_count(static_cast<double>(config.run.steps * config.batch.sequences * config.batch.sequence_length)));
  if (!config.data.validation.empty() || !config.data.hellaswag.empty())
    print_row("evaluation", "{}",
              evaluation_need(config.run, config.average, tokens * options.ranks, evaluation_size(config),
                              hellaswag_tokens(config)));
  const double disk = checkpoint_bytes(config, table);
  const int64_t kept = config.run.keep ? checkpoints_kept(config.run) : 0;
  print_row("disk", "{} a checkpoint{}", bytes(disk),
            kept ? fmt::format(", {} with the {} that are kept", bytes(disk * static_cast<double>(kept)), kept)
                 : "; all are kept");
  if (options.memory > 0)
    print_row("micro-batch", "{}", largest_micro_batch(config, options.ranks, options.memory * 1024 * 1024 * 1024));
  print_row("data", "{}", data_need(config));
  for (const Corpus& corpus : config.data.train) print_part("training", "{}", join(corpus.files));
  if (!config.data.validation.empty()) print_part("validation", "{}", join(config.data.validation));
  if (options.ranks > 1) print_ranks(config, plan, options.ranks);
  if (device) print_budget(config, plan, options, *device, model.causal);
}

}  // namespace

void add_plan(CommandLine& command) {
  auto options = std::make_shared<PlanOptions>();
  command.add("CONFIG", options->config, "JSON file").required();
  command.add("--set", options->overrides, "path=value; may be repeated").type_name("PATH=VALUE").one_at_a_time();
  command.add("--ranks", options->ranks, "number of processes").range(1, 1 << 16).show_default();
  command
      .add("--device", options->device,
           "also print the time of a step on this GPU: a100, h100, h200, b200 or a JSON file that describes one")
      .type_name("NAME");
  command.add("--price", options->price, "price of a GPU hour").range(1e-6, 1e6);
  command
      .add("--memory", options->memory, "also print the largest micro-batch that fits in this much memory per device")
      .type_name("GIB")
      .range(1e-6, 1e9);
  command.set_hint(hint_of_key);
  command.set_action([options] { run_plan(*options); });
}

}  // namespace rowan
