#include "train/data_need.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/json_path.h"
#include "evaluate/hellaswag.h"
#include "evaluate/validation.h"
#include "tokenizer/tokenizer.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

// The number of epochs that the run reads of each corpus.
std::vector<double> epochs_of(const TrainConfig& config, const BatchSource& batches) {
  std::vector<double> epochs;
  for (size_t part = 0; part < batches.corpora().size(); ++part)
    epochs.push_back(batches.epochs(part, config.run.steps * config.batch.sequences));
  return epochs;
}

// The end of a message: a get.sh command that downloads enough training files. Enough is `times` times the number of
// files from which the shards in `folder` were made, rounded up. Returns "" if `folder` has no get.sh, or no
// manifest.json that lists the files, which get.sh may have read through a pipe.
std::string more_of(const fs::path& folder, double times) {
  const fs::path manifest = folder / "manifest.json", recipe = folder / "get.sh";
  if (!fs::exists(manifest) || !fs::exists(recipe)) return "";
  const Json json = try_parse_json(read_file(manifest));
  const Json *sources = value_at(json, "sources"), *held_out = value_at(json, "settings.validation_inputs");
  const Json* path = value_at(json, "sources.0.path");
  if (!sources || (path && *path == "-")) return "";
  const double files =
      static_cast<double>(sources->size()) - (held_out && held_out->is_number() ? held_out->get<double>() : 0);
  return fmt::format("; {} --shards {:.0f} downloads enough", recipe.string(), std::ceil(files * times));
}

std::string reads(const TrainConfig& config, const BatchSource& batches) {
  const char* rows = config.data.reading == Reading::documents ? "documents" : "rows";
  return fmt::format("reads {} {}, there are {}: {}",
                     human_count(static_cast<double>(config.run.steps * config.batch.sequences)), rows,
                     human_count(static_cast<double>(batches.samples_per_epoch())), epochs_text(config, batches));
}

}  // namespace

std::string epochs_text(const TrainConfig& config, const BatchSource& batches) {
  const std::vector<double> epochs = epochs_of(config, batches);
  return fmt::format("{:.2f} epochs{}", fmt::join(epochs, ", "), epochs.size() > 1 ? " of the corpora" : "");
}

std::string data_shortage(const TrainConfig& config, const BatchSource& batches) {
  const std::vector<double> epochs = epochs_of(config, batches);
  if (std::all_of(epochs.begin(), epochs.end(), [](double some) { return some <= 1; })) return "";
  const bool one = epochs.size() == 1;
  return reads(config, batches) +
         (one ? more_of(batches.corpora()[0].shards()[0].path().parent_path(), epochs[0]) : "");
}

std::string data_need(const TrainConfig& config) {
  try {
    const BatchSource batches(config.data, config.batch.sequence_length, config.run.seed, config.model.vocabulary);
    const std::string shortage = data_shortage(config, batches);
    return shortage.empty() ? reads(config, batches) : shortage;
  } catch (const Error& error) {
    return fmt::format("reads {} rows of {} tokens; {}",
                       human_count(static_cast<double>(config.run.steps * config.batch.sequences)),
                       config.batch.sequence_length, error.what());
  }
}

EvaluationSize evaluation_size(const TrainConfig& config) {
  if (config.data.validation.empty()) return {};
  const int64_t most = config.run.eval_tokens;
  try {
    const ValidationSet set(config.data, config.batch.sequence_length, config.model.vocabulary,
                            most ? most : INT64_MAX);
    return {set.targets(), set.tokens() - set.targets()};
  } catch (const Error&) {
    return {most, 0};
  }
}

int64_t hellaswag_tokens(const TrainConfig& config) {
  if (config.data.hellaswag.empty()) return 0;
  try {
    const auto tokenizer = config.tokenizer.empty() ? nullptr : make_tokenizer(config.tokenizer);
    return hellaswag_rows(read_hellaswag(config.data.hellaswag, tokenizer.get())) * config.batch.sequence_length;
  } catch (const Error&) {
    return 0;
  }
}

std::string evaluation_need(const RunConfig& run, const AverageConfig& average, double tokens_per_step,
                            EvaluationSize size, int64_t hellaswag) {
  std::string text = run.eval_every ? fmt::format("every {} steps", run.eval_every) : "at the end";
  const auto targets = static_cast<double>(size.targets), padding = static_cast<double>(size.padding),
             choices = static_cast<double>(hellaswag);
  if (targets > 0 || hellaswag == 0)
    text += targets > 0 ? fmt::format(" on {} tokens", human_count(targets)) : " on all validation data";
  if (hellaswag > 0)
    text += fmt::format("{} on HellaSwag's {} tokens", targets > 0 ? " and" : "", human_count(choices));
  if (targets + choices == 0 || run.steps == 0) return text;
  // The evaluations after step `begin`. The last one is at the end of the run.
  const auto after = [&](int64_t begin) {
    if (begin >= run.steps) return int64_t{0};
    const int64_t regular = run.eval_every ? run.steps / run.eval_every - begin / run.eval_every : 0;
    return regular + (run.eval_every == 0 || run.steps % run.eval_every != 0);
  };
  const int64_t evaluations = after(0);
  int64_t passes = evaluations;  // each average costs another pass over the data, once it has begun
  if (average.ema > 0) passes += after(average.ema_start);
  if (average.tail > 0) passes += after(std::max<int64_t>(run.steps - average.tail, 0));
  // A forward pass takes about a third of a step.
  const double evaluated =
      (static_cast<double>(passes) * (targets + padding) + static_cast<double>(evaluations) * choices) / 3;
  const double part = 100 * evaluated / (evaluated + static_cast<double>(run.steps) * tokens_per_step);
  return text + (part < 1 ? ", less than 1% of the run" : fmt::format(", about {:.0f}% of the run", part));
}

}  // namespace rowan
