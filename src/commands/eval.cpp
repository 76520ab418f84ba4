#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>

#include "base/console.h"
#include "base/error.h"
#include "commands/commands.h"
#include "data/data_config.h"
#include "evaluate/bits_per_byte.h"
#include "evaluate/entropy_floor.h"
#include "evaluate/evaluate.h"
#include "evaluate/hellaswag.h"
#include "kernels/backend.h"
#include "model/memory_check.h"
#include "model/weights.h"
#include "run/run_folder.h"
#include "run/tokenizer_match.h"
#include "tokenizer/tokenizer.h"
#include "train/config.h"
#include "train/device.h"

namespace rowan {
namespace {

struct EvalOptions {
  std::string step = "newest", weights = "raw", run, device = "auto";
  std::vector<std::string> data, task;
  int64_t tokens = 0, micro_batch = 0;
};

void print_checkpoint(const EvalOptions& options, const RunFolder& folder) {
  fmt::print("checkpoint   {}{}\n", folder.checkpoint().folder().filename().string(),
             options.weights == "raw" ? "" : ", weights " + options.weights);
}

int64_t sequence_length_of(const RunFolder& folder) {
  return folder.config().object("batch", true).integer("sequence_length", {}, 1, most_tokens_at_once);
}

// A model for `rows` rows of `seq` tokens, or for as many of them at a time as --micro-batch says.
std::unique_ptr<Model> open_model(const EvalOptions& options, const RunFolder& folder, Backend& backend, int64_t rows,
                                  int64_t seq, int32_t end_token) {
  const int64_t micro_batch =
      options.micro_batch ? std::min(options.micro_batch, rows) : std::max<int64_t>(4, 4096 / seq);
  const ModelOptions run_as{
      .batch = micro_batch, .seq = seq, .training = false, .documents = folder.documents(end_token)};
  check_model_fits(
      backend, folder.model(), run_as,
      fmt::format("use --micro-batch to evaluate fewer than {} rows of {} tokens at a time", micro_batch, seq));
  auto model = std::make_unique<Model>(backend, folder.model(), run_as);
  load_weights(*model, folder.checkpoint().model());
  return model;
}

// Throws Error if the shards are of another tokenizer than the run. Returns the run's tokenizer. If the run names none,
// or if it is not that of the shards or cannot be read, which costs only the bits per byte, returns nullptr and says
// why.
std::unique_ptr<Tokenizer> matching_tokenizer(const EvalOptions& options, const RunFolder& folder,
                                              const Dataset& data) {
  const Shard& shard = data.tokenizer_shard();
  const uint64_t trained = tokenizer_of_checkpoint(folder.checkpoint());
  check_same_tokenizer(shard.tokenizer_hash(), shard.path().string(), trained, options.run);
  if (folder.tokenizer().empty()) return nullptr;
  std::unique_ptr<Tokenizer> tokenizer;
  try {
    tokenizer = make_tokenizer(folder.tokenizer());
    check_same_tokenizer(tokenizer->hash(), folder.tokenizer(), trained, "the run");
  } catch (const Error& error) {
    tell("rowan: no bits per byte: {}\n", error.what());
    return nullptr;
  }
  // A checkpoint of version 0.1 does not name the tokenizer if its shards did not.
  check_same_tokenizer(shard.tokenizer_hash(), shard.path().string(), tokenizer->hash(), options.run);
  return tokenizer;
}

void print_bits_per_byte(const Tokenizer& tokenizer, const ValidationSet& rows, const ValidationLosses& losses) {
  const TargetText text = text_of_targets(rows, tokenizer);
  if (text.bytes == 0) return;
  fmt::print("bits/byte    {:.6f} ({} bytes of text{})\n", bits_per_byte(losses, text.bytes), text.bytes,
             text.unknown ? fmt::format("; {} targets are unknown tokens, which count as none", text.unknown) : "");
}

// Says how much of the data was read; "" if all of it was read.
std::string part_text(const EvalOptions& options, const ValidationSet& rows) {
  if (rows.rows() == rows.data().rows()) return "";
  return fmt::format(", in the first {} of {} rows of the {} tokens{}", rows.rows(), rows.data().rows(),
                     rows.data().tokens(),
                     options.tokens ? "" : " (limited by the run's eval_tokens; --tokens N reads more)");
}

void print_validation(const EvalOptions& options, const RunFolder& folder, Backend& backend) {
  DataConfig data = parse_data(folder.config().object("data", true));
  if (!options.data.empty()) data.validation = options.data;
  if (data.validation.empty()) fail("{}: found a run without validation data; name some with --data", options.run);
  const int64_t of_the_run = folder.config().object("run").integer("eval_tokens", 0, 0);
  const int64_t tokens = options.tokens ? options.tokens : of_the_run ? of_the_run : INT64_MAX;
  const int64_t seq = sequence_length_of(folder);
  ValidationSet rows(data, seq, folder.model().vocabulary, tokens);
  const std::unique_ptr<Tokenizer> tokenizer = matching_tokenizer(options, folder, rows.data());
  const std::unique_ptr<Model> model = open_model(options, folder, backend, rows.rows(), seq, rows.data().end_id());
  const ValidationLosses losses = validation_losses(rows, row_losses(backend, *model, rows));
  print_checkpoint(options, folder);
  if (const std::string trained = folder.config().string("precision", "fp32"); trained != "fp32")
    fmt::print("precision    fp32; the run trains in {}\n", trained);
  fmt::print("loss         {:.6f} nats per token\nperplexity   {:.4f}\ntargets      {}{}\n", losses.mean,
             std::exp(losses.mean), losses.targets, part_text(options, rows));
  if (tokenizer) print_bits_per_byte(*tokenizer, rows, losses);
  if (losses.batch_mean) {
    const auto [fewest, most] = std::ranges::minmax(rows.batches());
    fmt::print("batch means  {:.6f}, perplexity {:.4f}: of {} ranks with {} batches of {} rows\n", *losses.batch_mean,
               std::exp(*losses.batch_mean), data.batch_means.ranks,
               fewest == most ? fmt::format("{}", most) : fmt::format("{} to {}", fewest, most), data.batch_means.rows);
  }
  if (losses.galore)
    fmt::print("as GaLore    {:.6f}, perplexity {:.4f}: the same, divided by n + 1 instead of n batches\n",
               *losses.galore, std::exp(*losses.galore));
  if (const auto floor = floor_of(rows, [](const std::string& text) { tell("rowan: {}\n", text); }))
    fmt::print("entropy      {:.6f} nats per token: of the whole text\n", floor->sample);
}

void print_hellaswag(const EvalOptions& options, const RunFolder& folder, Backend& backend) {
  std::unique_ptr<Tokenizer> tokenizer;
  if (!folder.tokenizer().empty()) {
    tokenizer = make_tokenizer(folder.tokenizer());
    check_same_tokenizer(tokenizer->hash(), folder.tokenizer(), tokenizer_of_checkpoint(folder.checkpoint()),
                         "the run");
  }
  const int64_t trained = sequence_length_of(folder);
  const std::vector<HellaSwagItem> items =
      read_hellaswag(options.task[1], tokenizer.get(), trained, folder.model().vocabulary);
  const int64_t seq = length_for(items, trained);
  const std::unique_ptr<Model> model = open_model(options, folder, backend, 4 * static_cast<int64_t>(items.size()), seq,
                                                  tokenizer ? tokenizer->end_id() : -1);
  BatchEvaluator losses(backend, *model);
  const HellaSwagScore score = score_hellaswag(items, model->options().batch, seq, std::ref(losses));
  print_checkpoint(options, folder);
  fmt::print("hellaswag    acc_norm {:.4f}  acc {:.4f}  ({} items, scored as in llm.c)\n", score.acc_norm(),
             score.acc(), score.items);
}

void run_eval(const EvalOptions& options) {
  if (!options.task.empty() && (!options.data.empty() || options.tokens > 0))
    fail("{}: found it with --task, expected the validation data or a task, not both",
         options.data.empty() ? "--tokens" : "--data");
  RunFolder folder(
      options.run, options.step, [](const std::string& text) { tell("rowan: {}\n", text); }, options.weights);
  if (!options.task.empty() && options.task[0] != "hellaswag")
    fail("--task: found '{}', expected hellaswag", options.task[0]);
  std::unique_ptr<Backend> backend = make_backend(named<Device>("--device", options.device), 0, 0);
  if (options.task.empty())
    print_validation(options, folder, *backend);
  else
    print_hellaswag(options, folder, *backend);
}

}  // namespace

void add_eval(CommandLine& command) {
  auto options = std::make_shared<EvalOptions>();
  command.add("RUN", options->run, "run directory, or one of its checkpoints").required();
  command.add("--step", options->step, "which checkpoint of the run: a step, best or newest").show_default();
  command.add("--weights", options->weights, "which weights: raw, or an average that the run keeps (ema or tail)")
      .show_default()
      .one_of({"raw", "ema", "tail"});
  command.add("--data", options->data, "shards (a glob) instead of the run's validation data");
  command.add("--task", options->task, "score a task instead: hellaswag FILE").takes(2);
  command.add("--tokens", options->tokens, "about this many tokens, in whole rows; the run's eval_tokens by default")
      .at_least(1);
  command
      .add("--micro-batch", options->micro_batch,
           "rows at a time; by default as many as make 4096 tokens, but at least 4")
      .range(int64_t{1}, most_tokens_at_once);
  command.add("--device", options->device).one_of<Device>().show_default();
  command.set_action([options] { run_eval(*options); });
}

}  // namespace rowan
