#include "train/plan.h"

#include <fmt/core.h>

#include <optional>

#include "base/error.h"
#include "base/human.h"
#include "base/names.h"
#include "commands/commands.h"
#include "data/attended_share.h"
#include "kernels/dry/dry_backend.h"
#include "train/data_need.h"
#include "train/device.h"
#include "train/report.h"

namespace rowan {
namespace {

struct PlanOptions {
  std::string config;
  std::vector<std::string> overrides;
  int ranks = 1;
};

// What the whole takes with each choice of recompute.
std::string recompute_text(TrainConfig config, int ranks) {
  std::string text;
  for (const Recompute choice : {Recompute::none, Recompute::mlp, Recompute::block}) {
    config.recompute = choice;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name_of(choice),
                        human_bytes(static_cast<double>(make_plan(config, ranks).total_bytes)));
  }
  return text;
}

// attended_share() of the config's data; nothing where that is not there.
std::optional<double> known_share(const TrainConfig& config) {
  if (!config.data.documents) return 1;
  try {
    const BatchSource batches(config.data, config.batch.sequence_length, config.run.seed, config.model.vocabulary);
    return attended_share(batches, config.data.documents);
  } catch (const Error&) {
    return {};
  }
}

void run_plan(const PlanOptions& options) {
  TrainConfig config = load_config(options.config, options.overrides);
  if (config.precision == TrainPrecision::automatic)  // a plan for GPUs needs none
    resolve_precision(config, config.device == Device::cuda || make_backend(config.device, 1, 0)->fast(DType::bf16));
  const ParameterTable table = parameter_table(config.model);
  const Plan plan = make_plan(config, options.ranks);
  const auto bytes = [](double b) { return human_bytes(b); };
  fmt::print("parameters   {} ({})\n", table.count(), human_count(static_cast<double>(table.count())));
  for (int role = 0; role < role_count; ++role)
    if (table.count(static_cast<Role>(role)))
      fmt::print("  {:<16} {}\n", name_of(static_cast<Role>(role)), table.count(static_cast<Role>(role)));
  fmt::print("{}", describe_groups(config.optimizer, table));
  fmt::print("memory       {} at most on each of {} ranks\n", bytes(static_cast<double>(plan.total_bytes)),
             options.ranks);
  for (int c = 0; c < category_count; ++c)
    if (plan.bytes[c])
      fmt::print("  {:<16} {}\n", name_of(static_cast<Category>(c)), bytes(static_cast<double>(plan.bytes[c])));
  fmt::print("  with recompute   {}\n", recompute_text(config, options.ranks));
  const double tokens = static_cast<double>(config.batch.sequences * config.batch.sequence_length) / options.ranks;
  const TrainingFlops model = flops_per_token(config.model, config.batch.sequence_length);
  fmt::print("FLOPs        {} a token with causal attention, {} with full (the model's own)\n",
             human_count(model.causal), human_count(model.full));
  fmt::print("  attention        {:.1f}% of the causal ones; {}\n", 100 * model.attention / model.causal,
             config.attention == AttentionKernels::cudnn
                 ? "cuDNN's backward stores the scores"
                 : "scores are not stored, so that memory grows in line with sequence_length");
  const std::optional<double> share = known_share(config);
  if (config.data.documents && share)
    fmt::print("  documents        attention within them is {:.1f}% of that in the first rows: {} a token\n",
               100 * *share, human_count(model.within(*share)));
  if (!share) fmt::print("  documents        without the data their length is not known: rows count as whole\n");
  const double executed = plan.step_flops - (1 - share.value_or(1)) * plan.attention_flops;
  fmt::print("  executed         {} a token and rank, recomputation included\n", human_count(executed / tokens));
  fmt::print("  optimizer        {} a step and rank, {} moved\n", human_count(plan.optimizer_flops),
             bytes(plan.optimizer_bytes));
  const double run_flops = executed * options.ranks * static_cast<double>(config.run.steps);
  constexpr double gpu_rate = 3e14;
  fmt::print("  the run          {:.3g}: {:.3g} GPU hours at {}, about 30% of an H100's peak in bf16\n", run_flops,
             run_flops / gpu_rate / 3600, human_flops(gpu_rate));
  fmt::print(
      "steps        {} of {} sequences of {} tokens: {} tokens\n", config.run.steps, config.batch.sequences,
      config.batch.sequence_length,
      human_count(static_cast<double>(config.run.steps * config.batch.sequences * config.batch.sequence_length)));
  fmt::print("data         {}\n", data_need(config));
  for (const Corpus& corpus : config.data.train) fmt::print("  training         {}\n", join(corpus.files));
  if (!config.data.validation.empty()) fmt::print("  validation       {}\n", join(config.data.validation));
  if (options.ranks == 1) return;
  fmt::print("ranks        {}, shard {}: each sends {} a step\n", options.ranks, name_of(config.shard),
             bytes(plan.gradient_bytes_sent + plan.weight_bytes_sent));
  fmt::print("  gradients        {}, reduced in {}\n", bytes(plan.gradient_bytes_sent),
             config.reduce == DType::bf16 ? "bf16" : "fp32");
  fmt::print("  weights          {}\n", bytes(plan.weight_bytes_sent));
  if (config.shard != ShardMode::none)
    fmt::print("  largest share    {:.3f} of the mean in optimizer work, {:.3f} in its memory\n", plan.work_balance,
               plan.memory_balance);
  if (!plan.uneven.empty()) fmt::print("  uneven           {}\n", plan.uneven);
}

}  // namespace

void add_plan(CommandLine& command) {
  auto options = std::make_shared<PlanOptions>();
  command.add("CONFIG", options->config, "JSON file").required();
  command.add("--set", options->overrides, "path=value; may be repeated").type_name("PATH=VALUE").one_at_a_time();
  command.add("--ranks", options->ranks, "processes").at_least(1).show_default();
  command.set_action([options] { run_plan(*options); });
}

}  // namespace rowan
