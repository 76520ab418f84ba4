#include "train/report.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "comm/communicator.h"
#include "data/attended_share.h"
#include "evaluate/entropy_floor.h"
#include "evaluate/generate.h"
#include "evaluate/prompt.h"
#include "kernels/backend.h"
#include "optim/routing.h"
#include "run/loss_chart.h"
#include "run/predictor.h"
#include "run/run_folder.h"
#include "tokenizer/tokenizer.h"
#include "train/data_need.h"
#include "train/plan.h"

namespace rowan {
namespace {

std::string roles_text(const ParameterTable& table) {
  std::string text = fmt::format("{}:", human_count(static_cast<double>(table.count())));
  for (int i = 0; i < role_count; ++i) {
    const auto role = static_cast<Role>(i);
    if (table.count(role))
      text += fmt::format(" {} {},", name_of(role), human_count(static_cast<double>(table.count(role))));
  }
  text.pop_back();
  return text;
}

// Ends the sample after a token if `wants_to_stop` returns true.
std::string sample_text(const TrainConfig& config, const std::function<bool()>& wants_to_stop) {
  auto tokenizer = make_tokenizer(config.tokenizer);
  RunFolder run(config.run.dir, "newest", [](const std::string&) {});
  auto backend = make_cpu_backend(config.threads);
  Predictor predictor(*backend, run, config.batch.sequence_length, tokenizer.get());
  Prompt prompt = make_prompt(config.data, *tokenizer, "run.sample_prompt", config.run.sample_prompt);
  std::vector<int32_t>& tokens = prompt.tokens;
  const size_t given = tokens.size();
  const char* ended = "";
  try {
    generate(tokens, config.run.sample_tokens, tokenizer->end_id(), Sampling{0.7, 0, config.run.seed},
             std::ref(predictor), [&] {
               if (wants_to_stop()) throw Stopped();
             });
  } catch (const Stopped&) {
    ended = ", ended by a stop";
  }
  return fmt::format("\na sample of {} tokens, by the newest checkpoint{}:\n{}", tokens.size() - given, ended,
                     tokenizer->decode(std::span(tokens).subspan(prompt.text)));
}

// What the average of the last steps lacks after a continuation: steps that it should have, but whose weights no
// checkpoint kept. "" if it lacks none.
std::string lack_of_tail(const TrainConfig& config, const Trainer& trainer) {
  const int64_t steps = config.run.steps, done = trainer.steps_done();
  for (const Averages::Average& average : trainer.averages().all()) {
    if (average.name != "tail" || done == steps) continue;
    const int64_t wanted = std::max<int64_t>(trainer.averages().first_step(average), 1),
                  begin = average.count ? average.first : std::max(wanted, done + 1);
    if (begin > wanted)
      return fmt::format("tail is of the last {} steps, not of {}: the weights after steps {} to {} were not averaged",
                         steps - begin + 1, steps - wanted + 1, wanted, begin - 1);
  }
  return "";
}

std::string precision_text(const TrainConfig& config, const Backend& backend) {
  return fmt::format("{}; {}", name_of(config.precision),
                     backend.fast(DType::bf16) ? "bf16 is the faster one here: the device has instructions for it"
                                               : "fp32 is the faster one here: bf16 would be multiplied as fp32");
}

}  // namespace

void print_start_page(const TrainConfig& config, const Trainer& trainer, const Backend& backend,
                      const Communicator& communicator, double peak, Progress& progress) {
  std::vector<std::pair<std::string, std::string>> page;
  auto line = [&](const std::string& label, const std::string& text) { page.emplace_back(label, text); };
  const ParameterTable& table = trainer.model().parameters();
  line("run", config.run.dir);
  line("device", fmt::format("{}; {}", backend.describe(), communicator.describe()));
  line("precision", precision_text(config, backend));
  line("model",
       fmt::format("{}: {} layers, {} wide, {} heads ({} key/value), MLP {} wide, vocabulary {}",
                   config.model.family == Family::llama ? "LLaMA" : "GPT-2", config.model.layers, config.model.hidden,
                   config.model.heads, config.model.kv_heads, config.model.intermediate, config.model.vocabulary));
  const std::string slow = backend.slow_attention(config.model.attention(1, config.batch.sequence_length, 0),
                                                  compute_dtype(config.precision));
  if (!slow.empty()) line("attention", slow);
  line("parameters", roles_text(table));
  line("optimizer", describe_groups(config.optimizer, table));
  const auto per_step = static_cast<double>(trainer.tokens_per_step());
  line("data",
       fmt::format("{} tokens, {} rows an epoch; {} sequences of {} ({} tokens) a step",
                   human_count(static_cast<double>(trainer.batches().tokens())), trainer.batches().samples_per_epoch(),
                   config.batch.sequences, config.batch.sequence_length, human_count(per_step)));
  if (config.data.reading == Reading::documents) {
    const int64_t rows = std::min<int64_t>(trainer.batches().samples_per_epoch(), 4096);
    line("padding", fmt::format("{:.1f}% of the tokens, in the first {} documents",
                                100.0 - 100.0 * static_cast<double>(trainer.batches().count(0, rows).inputs) /
                                            static_cast<double>(rows * config.batch.sequence_length),
                                rows));
  }
  if (config.data.documents)
    line("documents",
         fmt::format(
             "attention within documents costs {:.1f}% of attention over whole rows (measured on the first rows)",
             100 * attended_share(trainer.batches(), config.data.documents)));
  line("steps",
       fmt::format("{}, {} tokens, {}", config.run.steps, human_count(per_step * static_cast<double>(config.run.steps)),
                   epochs_text(config, trainer.batches())));
  const EvaluationSize size{trainer.validation_targets(), trainer.validation_tokens() - trainer.validation_targets()};
  if (size.targets + trainer.hellaswag_tokens() > 0)
    line("evaluation", evaluation_need(config.run, config.average, per_step, size, trainer.hellaswag_tokens()));
  auto describe_schedule = [&](const std::string& whose, const Schedule& schedule) {
    if (schedule.from_step > trainer.steps_done())
      line("schedule",
           fmt::format("{}from_step is {}, and this start begins at step {}; until then the rate is that of "
                       "the schedule's first step, which is 0 under a warm-up",
                       whose, schedule.from_step, trainer.steps_done()));
    if (schedule.asked_warmup_steps)
      line("warm-up", fmt::format("{}shortened to {}: the {} of the config are longer than the run", whose,
                                  schedule.warmup_steps, schedule.asked_warmup_steps));
    if (schedule.asked_decay_steps)
      line("decay", fmt::format("{}shortened to {}: the {} of the config do not fit into the run", whose,
                                schedule.decay_steps, schedule.asked_decay_steps));
  };
  describe_schedule("", config.schedule);
  for (const Group& group : config.optimizer.groups)
    if (group.schedule) describe_schedule(group.name + ": ", *group.schedule);
  if (config.average.ema > 0 && config.average.ema_start >= config.run.steps)
    line("average", fmt::format("there is no ema: ema_start is {}, and the run ends at step {}",
                                config.average.ema_start, config.run.steps));
  if (const std::string lack = lack_of_tail(config, trainer); !lack.empty()) line("average", lack);
  if (const std::string shortage = data_shortage(config, trainer.batches()); !shortage.empty())
    line("more data", shortage);
  const Plan plan = make_plan(config, communicator.size());
  line("memory", memory_text(plan));
  if (communicator.size() > 1)
    line("ranks",
         fmt::format("{}, shard {}: a rank has at most {:.3f} times the mean optimizer work and {:.3f} times the mean "
                     "optimizer memory, and sends {} a step{}",
                     communicator.size(), name_of(config.shard), plan.work_balance, plan.memory_balance,
                     human_bytes(plan.gradient_bytes_sent + plan.weight_bytes_sent),
                     plan.uneven.empty() ? "" : "\n" + plan.uneven));
  if (peak > 0)
    line("MFU",
         fmt::format("relative to {} in matrix products; counts 6 FLOPs per weight and token, and causal attention",
                     human_flops(peak)));
  progress.page(page);
}

void print_end_page(const TrainConfig& config, const std::optional<double>& validation, const Trainer& trainer,
                    Progress& progress, const std::function<bool()>& wants_to_stop) {
  const std::filesystem::path dir = config.run.dir;
  std::optional<EntropyFloor> floor;
  if (trainer.validation_set())
    floor = floor_of(*trainer.validation_set(), [&](const std::string& text) { progress.message("warning: " + text); });
  LossCurves curves = read_loss_curves(dir / "metrics.jsonl", [&](const std::string& text) { progress.message(text); });
  if (floor) curves.floor = floor->sample;
  try {
    write_file_atomically(dir / "loss.svg", loss_chart_svg(curves));
  } catch (const Error& error) {
    progress.message(fmt::format("warning: {}; the run is complete without its chart", error.what()));
  }
  std::string page = "\n" + loss_chart_text(curves);
  const int64_t steps = trainer.steps_done();
  page += fmt::format("done: {} steps in {}: {} tokens", steps, dir.string(),
                      human_count(static_cast<double>(steps * trainer.tokens_per_step())));
  if (config.data.reading == Reading::documents)
    page += fmt::format(", {} without padding", human_count(static_cast<double>(trainer.unpadded_tokens())));
  if (validation)
    page +=
        fmt::format("\nvalidation loss {:.4f} nats per token, perplexity {:.3f}", *validation, std::exp(*validation));
  if (validation && floor)
    page += fmt::format("\nentropy of the whole validation text {:.4f}; the loss is {:.4f} above it", floor->sample,
                        *validation - floor->sample);
  progress.message(page);
  if (config.run.sample_tokens == 0 || config.tokenizer.empty()) return;
  try {
    progress.message(sample_text(config, wants_to_stop));
  } catch (const std::exception& error) {
    progress.message(fmt::format("warning: {}; the run is complete without its sample", message_of(error)));
  }
}

}  // namespace rowan
