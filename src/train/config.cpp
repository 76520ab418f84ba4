#include "train/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file_kind.h"
#include "base/files.h"
#include "evaluate/prompt.h"
#include "model/layout.h"
#include "optim/routing.h"
#include "train/config_keys.h"

namespace rowan {
namespace {

BatchConfig parse_batch(JsonObject object) {
  BatchConfig batch;
  if (object.has("tokens")) {
    if (object.has("sequences")) object.fail("tokens", "conflicts with sequences; give one of them");
    const int64_t tokens = object.integer("tokens", {}, 1, largest_count),
                  length = object.integer("sequence_length", {}, 1, largest_count);
    if (tokens % length)
      object.fail("tokens", fmt::format("found {}, expected a multiple of sequence_length {}", tokens, length));
    batch.sequences = tokens / length;
  }
  read_keys(object, [&](Section& keys) { visit(batch, keys); });
  if (batch.micro_batch && batch.sequences % batch.micro_batch)
    object.fail("micro_batch", fmt::format("found {}, expected a divisor of {}, the sequences of a step",
                                           batch.micro_batch, batch.sequences));
  const int64_t at_once = batch.micro_batch ? batch.micro_batch : batch.sequences;
  if (at_once > most_tokens_at_once / batch.sequence_length)
    object.fail(batch.micro_batch ? "micro_batch" : "sequences",
                fmt::format("found {} sequences of {} tokens at once, expected at most {} sequences", at_once,
                            batch.sequence_length, most_tokens_at_once / batch.sequence_length));
  object.finish();
  return batch;
}

// The default of run.eval_tokens if run.steps is not 0: the tokens of 20 steps. Their forward pass takes about as long
// as 7 steps of training.
int64_t usual_eval_tokens(const BatchConfig& batch) {
  constexpr int64_t steps = 20;
  return std::min(largest_count / steps / batch.sequence_length, batch.sequences) * batch.sequence_length * steps;
}

RunConfig parse_run(JsonObject object, const BatchConfig& batch) {
  RunConfig run;
  if (object.integer("steps", 0) > 0) run.eval_tokens = usual_eval_tokens(batch);
  read_keys(object, [&](Section& keys) { visit(run, keys); });
  if (run.dir.empty()) object.fail("dir", "is empty");
  if (run.dir.find('\0') != std::string::npos) object.fail("dir", "found a zero byte");
  if (object.has("sample_prompt") && !object.has("sample_tokens"))
    object.fail("sample_prompt", "has no effect without sample_tokens, the number of tokens that continue it");
  const std::string part = unexpanded_part(run.dir);
  if (!part.empty() && !object.source().of_run)  // earlier runs stay readable
    object.fail("dir", fmt::format("found {}, expected a path without {}, which only a shell replaces; a folder of "
                                   "this name is ./{}",
                                   run.dir, part, run.dir));
  object.finish();
  return run;
}

SkipConfig parse_skip(JsonObject object) {
  SkipConfig skip;
  read_keys(object, [&](Section& keys) { visit(skip, keys); });
  if (object.has("window") && !object.has("loss_zscore") && !object.has("grad_norm_zscore"))
    object.fail("window", "has no effect without loss_zscore or grad_norm_zscore; give one of them");
  object.finish();
  return skip;
}

AverageConfig parse_average(JsonObject object) {
  AverageConfig average;
  read_keys(object, [&](Section& keys) { visit(average, keys); });
  if (average.ema_start && average.ema == 0) object.fail("ema_start", "has no effect, because ema is 0");
  object.finish();
  return average;
}

// Throws Error if a momentum is to move while the rate falls, but the rate of a constant schedule never falls.
void check_momentum(JsonObject recipe, const Schedule& schedule) {
  if (schedule.shape != Schedule::Shape::constant || !recipe.has("momentum") || !recipe.raw("momentum").is_object())
    return;
  if (const JsonObject course = recipe.object("momentum"); course.has("end"))
    course.fail("end", "has no effect here: the rate of a constant schedule does not fall");
}

// Throws Error if a key at the top level belongs in a section. The message names the section.
void check_places(const JsonObject& root) {
  const auto rows = config_keys();
  for (const std::string& key : root.keys()) {
    const bool known = rows.contains(key) || std::any_of(rows.at("").begin(), rows.at("").end(),
                                                         [&](const KeyRow& row) { return row.name == key; });
    if (const std::string path = known ? "" : path_of_key(key); !path.empty())
      root.fail(key, fmt::format("unknown key '{}'; did you mean {}?", key, path));
  }
}

// If several required keys are missing at the top level or in model, data, batch, optimizer or run, throws one Error
// that names them.
void check_missing(JsonObject root) {
  std::vector<std::string> missing;
  auto add = [&](const std::vector<std::string>& paths) { missing.insert(missing.end(), paths.begin(), paths.end()); };
  const auto rows = config_keys();
  add(missing_keys(root, rows.at("")));
  if (root.has("model") && root.raw("model").is_object()) add(missing_model_keys(root.object("model")));
  for (const char* section : {"data", "batch", "optimizer", "run"})
    add(missing_keys(root.object(section), rows.at(section)));
  if (missing.size() > 1)
    root.fail(missing[0], fmt::format("is missing, as are {}", join({missing.begin() + 1, missing.end()})));
}

}  // namespace

int64_t most_steps(const BatchConfig& batch) { return most_tokens / batch.sequences / batch.sequence_length; }

void resolve_precision(TrainConfig& config, bool fast_bf16) {
  if (config.precision != TrainPrecision::automatic) return;
  config.precision = fast_bf16 ? TrainPrecision::bf16 : TrainPrecision::fp32;
  config.resolved["precision"] = name_of(config.precision);
}

JsonSource read_config(const std::string& path) {
  std::error_code unreadable;
  if (const auto inside = std::filesystem::path(path) / "config.json"; std::filesystem::exists(inside, unreadable))
    fail("{}: found a folder, expected a config file; the folder contains {}", path, inside.string());
  return {path, read_file(path)};
}

TrainConfig load_config(const std::string& path, const std::vector<Edit>& edits) {
  return parse_config(read_config(path), edits);
}

TrainConfig parse_config(JsonSource text, const std::vector<Edit>& edits) {
  auto source = std::make_shared<JsonSource>(std::move(text));
  Json json = parse_json(*source);
  source->of_run = json.contains("version");
  for (const Edit& edit : edits) {
    apply_edit(json, edit);
    source->edited.push_back({edit.path, edit.origin});
  }

  TrainConfig config;
  config.file = source->name;
  JsonObject root(source, json);
  if (root.has("model_type") && !root.has("model"))
    root.fail("model_type",
              "found the config of a model, expected the config of a run, with the keys model, data, batch, optimizer "
              "and run");
  if (root.has("device") && root.raw("device") == "gpu")
    root.fail("device", "found 'gpu', expected one of auto, cpu, cuda; did you mean 'cuda'?");
  for (const char* key : {"axes", "base"})
    if (!json.contains("model") && json.contains(key))
      root.fail(key, "found a sweep, expected the config of a run; rowan sweep reads sweeps");
  check_places(root);
  check_missing(root);
  if (root.has("model") && root.raw("model").is_string()) {
    const std::filesystem::path given = root.string("model");
    config.model =
        load_model((given.is_absolute() ? given : std::filesystem::path(source->name).parent_path() / given).string());
  } else {
    config.model = parse_model(root.object("model", true));
  }
  read_keys(root, [&](Section& keys) { visit(config, keys); });
  config.data = parse_data(root.object("data", true));
  config.batch = parse_batch(root.object("batch", true));
  config.run = parse_run(root.object("run", true), config.batch);
  if (std::max<int64_t>(config.run.steps, 1) > most_steps(config.batch))
    root.object("run").fail(
        "steps", fmt::format("found {} steps of {} sequences of {} tokens, expected at most {} steps", config.run.steps,
                             config.batch.sequences, config.batch.sequence_length, most_steps(config.batch)));
  config.optimizer = parse_optimizer(root.object("optimizer", true), config.run.steps);
  check_routing(root.object("optimizer"), config.optimizer, parameter_table(config.model));
  config.schedule = parse_schedule(root.object("schedule"), config.run.steps);
  if (!source->of_run) check_momentum(root.object("optimizer"), config.schedule);
  config.skip = parse_skip(root.object("skip"));
  config.average = parse_average(root.object("average"));
  if (config.precision == TrainPrecision::bf16_stochastic) {
    if (root.object("optimizer").has("rounding") && !config.optimizer.stochastic && !source->of_run)
      root.object("optimizer").fail("rounding", "found nearest, expected stochastic with precision bf16_stochastic");
    config.optimizer.stochastic = true;
    if (config.optimizer.state == Precision::automatic) config.optimizer.state = Precision::fp32;
  }
  const bool without_masters =
      config.precision == TrainPrecision::bf16_stochastic || config.precision == TrainPrecision::bf16_pure;
  if (config.optimizer.stochastic && !without_masters && !source->of_run)
    root.object("optimizer")
        .fail("rounding", fmt::format("found stochastic with precision {}, expected precision bf16_stochastic or "
                                      "bf16_pure, whose weights have no fp32 masters",
                                      name_of(config.precision)));
  if (config.attention == AttentionKernels::cudnn &&
      (config.precision == TrainPrecision::fp32 || config.precision == TrainPrecision::tf32))
    root.fail("attention", fmt::format("found cudnn, which does not compute in {}; use rowan, or a bf16 precision",
                                       name_of(config.precision)));
  if (config.attention == AttentionKernels::cudnn && config.data.documents)
    root.fail("attention",
              "found cudnn, which does not keep attention within documents; use rowan, or remove data.documents");
  if (config.attention == AttentionKernels::cudnn && config.model.dropout.attention > 0)
    root.fail(
        "attention",
        "found cudnn, which has no dropout of attention; use rowan, or set the model's dropout of attention to 0");
  if (root.has("comment")) config.comment = root.raw("comment");
  if (root.has("version")) root.string("version");
  root.finish();

  if (config.data.validation.empty() && (config.run.keep_best || config.run.patience))
    root.object("run").fail(config.run.keep_best ? "keep_best" : "patience", "needs data.validation");
  if (!source->of_run) {  // earlier runs stay readable
    if (config.run.eval_every && config.data.validation.empty() && config.data.hellaswag.empty())
      root.object("run").fail("eval_every", "needs data.validation or data.hellaswag");
    if (config.run.patience && config.run.eval_every == 0)
      root.object("run").fail("patience", "needs run.eval_every: it counts evaluations");
  }
  const std::string why = why_text_is_needed(config.data);
  const bool samples = config.run.sample_tokens > 0 && !config.tokenizer.empty();
  if (samples && config.run.sample_prompt.empty() && !why.empty() && !source->of_run)  // earlier runs stay readable
    root.object("run").fail(
        "sample_prompt",
        fmt::format("is empty, expected a text that the sample of run.sample_tokens continues, because {}", why));
  if (config.batch.sequence_length > config.model.positions)
    root.object("batch").fail("sequence_length",
                              fmt::format("found {}, expected at most {}, the positions of the model",
                                          config.batch.sequence_length, config.model.positions));
  config.resolved = resolve(config);
  return config;
}

}  // namespace rowan
