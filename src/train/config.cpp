#include "train/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/threads.h"
#include "base/version.h"
#include "model/layout.h"
#include "optim/recipe.h"
#include "optim/recipes.h"

namespace rowan {
namespace {

constexpr int64_t most = int64_t{1} << 40;

enum class Travel : uint8_t { fp32, bf16 };  // dtype in which ranks exchange gradients
constexpr auto names_of(Travel) { return enum_names("fp32", "bf16"); }

void visit(BatchConfig& batch, Section& keys) {
  keys.integer<1, most>({.name = "sequence_length", .help = "tokens", .required = true}, batch.sequence_length);
  keys.integer<1, most>({.name = "sequences",
                         .help = "sequences per step, over all ranks",
                         .required = batch.sequences == 0,
                         .instead = "tokens"},
                        batch.sequences);
  keys.other(
      {.name = "tokens", .help = "instead of `sequences`: tokens per step; must be a multiple of `sequence_length`"},
      {});
  keys.integer<0, most>(
      {.name = "micro_batch",
       .help =
           "sequences that a rank processes at once; gradients accumulate over a step; 0: all of the rank's sequences",
       .continues = true},
      batch.micro_batch);
}

void visit(RunConfig& run, Section& keys) {
  keys.text({.name = "dir", .help = "the run's directory", .required = true, .continues = true}, run.dir);
  keys.integer<0, most>(
      {.name = "steps", .help = "optimizer updates; 0: only evaluates and saves the initial weights", .required = true},
      run.steps);
  keys.integer<0, INT64_MAX>({.name = "seed", .help = "seed of initial weights, sample order and stochastic rounding"},
                             run.seed);
  keys.integer<1, most>({.name = "log_every", .help = "steps between rows of metrics.jsonl", .continues = true},
                        run.log_every);
  keys.integer<0, most>(
      {.name = "eval_every", .help = "steps between evaluations; 0: only at the end", .continues = true},
      run.eval_every);
  keys.integer<0, most>({.name = "eval_tokens",
                         .help = "number of validation tokens that are read, from the first on; 0: all",
                         .continues = true,
                         .absent = "as many as 20 steps read; all if `steps` is 0"},
                        run.eval_tokens);
  keys.integer<0, most>(
      {.name = "checkpoint_every",
       .help = "steps between checkpoints; 0: not by steps; the end of a run and a stop always save one",
       .continues = true},
      run.checkpoint_every);
  if (keys.reading()) run.checkpoint_seconds = run.checkpoint_every ? 0 : 600;
  keys.integer<0, most>({.name = "checkpoint_seconds",
                         .help = "seconds between checkpoints; 0: not by time",
                         .continues = true,
                         .absent = "600 where `checkpoint_every` is 0, else 0"},
                        run.checkpoint_seconds);
  keys.integer<0, 1000000>({.name = "keep", .help = "number of newest checkpoints to keep; 0: all", .continues = true},
                           run.keep);
  keys.integer<0, most>(
      {.name = "keep_every",
       .help = "a checkpoint at every multiple of this number of steps is written and never removed; 0: none",
       .continues = true},
      run.keep_every);
  keys.flag({.name = "keep_best",
             .help = "also keep the checkpoint with the lowest validation loss; every evaluation then saves one",
             .continues = true},
            run.keep_best);
  keys.integer<0, most>({.name = "patience",
                         .help = "the run ends after this many evaluations without a lower validation loss; 0: never",
                         .continues = true},
                        run.patience);
  keys.integer<0, most>({.name = "max_seconds",
                         .help = "after this time the process saves and exits with code 124; 0: never; choose it so "
                                 "that the save ends before the job's time limit",
                         .continues = true},
                        run.max_seconds);
  keys.integer<0, most>({.name = "check_weights_every",
                         .help = "steps between comparisons of the weights that all ranks hold; 0: only at the start",
                         .continues = true},
                        run.check_weights_every);
  keys.integer<0, most>({.name = "norms_every",
                         .help = "steps between rows with the norms of each layer's weights, gradients and updates in "
                                 "metrics.jsonl; 0: never",
                         .continues = true},
                        run.norms_every);
  keys.text({.name = "sample_prompt", .help = "text that the model continues at the end of the run", .continues = true},
            run.sample_prompt);
  keys.integer<0, 100000>({.name = "sample_tokens", .help = "tokens of that continuation", .continues = true},
                          run.sample_tokens);
}

void visit(SkipConfig& skip, Section& keys) {
  constexpr double any = std::numeric_limits<double>::max();
  keys.number(
      {.name = "loss_zscore",
       .help = "skip a step whose loss is more than this many standard deviations above the mean of the last `window` "
               "losses; 0: off"},
      skip.loss_zscore, 0, any);
  keys.number({.name = "grad_norm_zscore", .help = "the same for the gradient norm before clipping; 0: off"},
              skip.grad_norm_zscore, 0, any);
  keys.integer<2, 100000>({.name = "window", .help = "number of last steps to compare with"}, skip.window);
}

void visit(AverageConfig& average, Section& keys) {
  keys.number({.name = "ema",
               .help = "coefficient of an exponential average, a <- ema a + (1 - ema) w after each update; 0: none"},
              average.ema, 0, 0.9999999);
  keys.integer<0, most>({.name = "ema_start",
                         .help = "number of updates to skip; the average starts with the weights after the next one"},
                        average.ema_start);
  keys.integer<0, most>(
      {.name = "tail",
       .help =
           "number of last steps of the run over which the weights are averaged, all with the same weight; 0: none"},
      average.tail);
}

void visit(TrainConfig& config, Section& keys) {
  keys.other({.name = "model", .help = "path of a model config, or the object itself", .required = true},
             config.model.resolved);
  keys.text({.name = "init",
             .help = "weights to start from: a `.safetensors` file, a Hugging Face folder, a checkpoint or a run of "
                     "Rowan (`RUN@best`, `RUN@400`: one of its checkpoints); read once, by a run's first start",
             .absent = "random, from `run.seed`"},
            config.init);
  keys.text({.name = "tokenizer",
             .help = "`bytes`, `gpt2:FILE`, `sentencepiece:FILE` or `huggingface:FILE` (a `tokenizer.json` or its "
                     "folder); only what is decoded or scored needs one"},
            config.tokenizer);
  keys.number({.name = "grad_clip", .help = "largest global norm of the gradient; 0: no clipping"}, config.grad_clip, 0,
              std::numeric_limits<double>::max());
  keys.choice(
      {.name = "precision",
       .help = "`fp32`; `bf16`: weights and activations in bf16, fp32 masters; `bf16_stochastic`: no masters, "
               "updates rounded stochastically; `bf16_pure`: weights, gradients and state in bf16; `auto`: "
               "`bf16` where the device multiplies it faster (GPUs, AMX, AMD's bf16 instructions), else `fp32`; "
               "`tf32`: like `fp32`, but matrix products round their operands to 10 bits of mantissa; needs a GPU"},
      config.precision);
  keys.choice({.name = "residual",
               .help = "with a precision in bf16, `fp32` keeps the residual stream, and what norms compute from it, in "
                       "fp32, as PyTorch's autocast does (gains and embeddings are read in bf16)"},
              config.residual);
  keys.number({.name = "z_loss",
               .help = "weight of log(sum of exponentials)^2 in the gradient; reported losses do not include it"},
              config.z_loss, 0, std::numeric_limits<float>::max());
  keys.choice({.name = "recompute",
               .help = "which activations the backward pass recomputes; the results are bit-identical",
               .continues = true},
              config.recompute);
  keys.choice({.name = "device", .continues = true}, config.device);
  keys.choice({.name = "attention",
               .help = "the attention kernels that a GPU uses; `cudnn` needs bf16 and a build that found cuDNN and its "
                       "frontend; its backward pass stores the scores, which `rowan plan` counts"},
              config.attention);
  keys.choice({.name = "products",
               .help = "how the algorithm of each matrix product on a GPU is chosen: by cuBLASLt's heuristic, or by "
                       "timing several, once for each shape; `timed` needs a single rank and keeps the choices in the "
                       "run's folder, so a continued run has the same bits"},
              config.products);
  keys.integer<0, most_threads>({.name = "threads", .help = "CPU threads; 0: one per core", .continues = true},
                                config.threads);
  keys.choice({.name = "shard", .help = "what is sharded among the ranks instead of copied to each", .continues = true},
              config.shard);
  if (keys.reading()) config.reduce = gradient_dtype(config.precision);
  Travel reduce = config.reduce == DType::bf16 ? Travel::bf16 : Travel::fp32;
  keys.choice({.name = "reduce", .help = "dtype in which ranks exchange gradients", .absent = "that of the gradients"},
              reduce);
  config.reduce = reduce == Travel::bf16 ? DType::bf16 : DType::f32;
  keys.other({.name = "comment", .help = "anything; ignored", .continues = true}, config.comment);
  keys.other(
      {.name = "version", .help = "version of the program that wrote the config.json; ignored", .continues = true},
      version());
}

BatchConfig parse_batch(JsonObject object) {
  BatchConfig batch;
  if (object.has("tokens")) {
    if (object.has("sequences")) object.fail("tokens", "conflicts with sequences; give one of them");
    const int64_t tokens = object.integer("tokens", {}, 1, most),
                  length = object.integer("sequence_length", {}, 1, most);
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
                fmt::format("found {} sequences of {} tokens at once, expected at most {}", at_once,
                            batch.sequence_length, most_tokens_at_once / batch.sequence_length));
  object.finish();
  return batch;
}

// The default of run.eval_tokens if run.steps is not 0: the tokens of 20 steps. Their forward pass takes about as long
// as 7 steps of training.
int64_t usual_eval_tokens(const BatchConfig& batch) {
  constexpr int64_t steps = 20;
  return std::min(most / steps / batch.sequence_length, batch.sequences) * batch.sequence_length * steps;
}

RunConfig parse_run(JsonObject object, const BatchConfig& batch) {
  RunConfig run;
  if (object.integer("steps", 0) > 0) run.eval_tokens = usual_eval_tokens(batch);
  read_keys(object, [&](Section& keys) { visit(run, keys); });
  if (run.dir.empty()) object.fail("dir", "is empty");
  if (run.dir.find('\0') != std::string::npos) object.fail("dir", "found a zero byte");
  object.finish();
  return run;
}

SkipConfig parse_skip(JsonObject object) {
  SkipConfig skip;
  read_keys(object, [&](Section& keys) { visit(skip, keys); });
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

// Calls `call` for each section except `model` and `data.documents`.
template <typename Call>
void for_sections(TrainConfig& config, Call call) {
  call("", [&](Section& keys) { visit(config, keys); });
  call("data", [&](Section& keys) { visit(config.data, keys); });
  call("batch", [&](Section& keys) { visit(config.batch, keys); });
  call("optimizer", [&](Section& keys) { visit(config.optimizer, keys); });
  call("schedule", [&](Section& keys) { visit(config.schedule, keys); });
  call("run", [&](Section& keys) { visit(config.run, keys); });
  call("skip", [&](Section& keys) { visit(config.skip, keys); });
  call("average", [&](Section& keys) { visit(config.average, keys); });
}

Json resolve(TrainConfig config) {
  Json json;
  for_sections(config, [&](const std::string& name, const Visit& visit) {
    (name.empty() ? json : json[name]) = write_keys(visit);
  });
  json["optimizer"] = to_json(config.optimizer);  // also contains the switches of the recipes
  return json;
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

// If several required keys are missing at the top level, in `model` or in the sections below, throws one Error that
// names them.
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

std::map<std::string, std::vector<KeyRow>> config_keys() {
  TrainConfig defaults;
  std::map<std::string, std::vector<KeyRow>> rows;
  for_sections(defaults, [&](const std::string& name, const Visit& visit) { rows[name] = list_keys(visit); });
  for (const auto& [name, keys] : model_keys()) rows[name] = keys;
  DocumentConfig documents;
  rows["data.documents"] = list_keys([&](Section& keys) { visit(documents, keys); });
  return rows;
}

std::string path_of_key(const std::string& name) {
  std::set<std::string> paths;
  for (const auto& [section, rows] : config_keys())
    for (const KeyRow& row : rows)
      if (row.name == name)
        paths.insert(section.empty() ? name : section.starts_with("model.") ? "model." + name : section + "." + name);
  if (to_json(named_recipe("adamw")).contains(name)) paths.insert("optimizer." + name);
  return fmt::format("{}", fmt::join(paths, " or "));
}

void resolve_precision(TrainConfig& config, bool fast_bf16) {
  if (config.precision != TrainPrecision::automatic) return;
  config.precision = fast_bf16 ? TrainPrecision::bf16 : TrainPrecision::fp32;
  config.resolved["precision"] = name_of(config.precision);
}

Json identity_of(Json resolved) {
  for (const auto& [section, rows] : config_keys()) {
    if (!section.empty() && !resolved.contains(section)) continue;
    for (const KeyRow& row : rows)
      if (row.continues) (section.empty() ? resolved : resolved[section]).erase(row.name);
  }
  return resolved;
}

TrainConfig load_config(const std::string& path, const std::vector<Edit>& edits) {
  std::error_code unreadable;
  if (const auto inside = std::filesystem::path(path) / "config.json"; std::filesystem::exists(inside, unreadable))
    fail("{}: found a folder, expected a config file; the folder contains {}", path, inside.string());
  return parse_config({path, read_file(path)}, edits);
}

TrainConfig parse_config(JsonSource text, const std::vector<Edit>& edits) {
  auto source = std::make_shared<JsonSource>(std::move(text));
  Json json = parse_json(*source);
  for (const Edit& edit : edits) {
    apply_edit(json, edit);
    source->edited.push_back({edit.path, edit.origin});
  }

  TrainConfig config;
  JsonObject root(source, json);
  if (root.has("model_type") && !root.has("model"))
    root.fail("model_type",
              "found the config of a model, expected that of a run, with model, data, batch, optimizer and run");
  if (root.has("device") && root.raw("device") == "gpu")
    root.fail("device", "found 'gpu', expected one of auto, cpu, cuda; did you mean 'cuda'?");
  for (const char* key : {"axes", "base"})
    if (!json.contains("model") && json.contains(key)) root.fail(key, "this is a sweep, which rowan sweep reads");
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
        "steps", fmt::format("found {} steps of {} sequences of {} tokens, expected at most {}", config.run.steps,
                             config.batch.sequences, config.batch.sequence_length, most_steps(config.batch)));
  const int64_t steps = config.run.steps ? config.run.steps : most;
  config.optimizer = parse_optimizer(root.object("optimizer", true), steps);
  check_routing(root.object("optimizer"), config.optimizer, parameter_table(config.model));
  // A run of 0 steps uses no schedule, so a schedule meant for a longer run is not an error.
  config.schedule = parse_schedule(root.object("schedule"), steps);
  config.skip = parse_skip(root.object("skip"));
  config.average = parse_average(root.object("average"));
  if (config.precision == TrainPrecision::bf16_stochastic) {
    config.optimizer.stochastic = true;
    if (config.optimizer.state == Precision::automatic) config.optimizer.state = Precision::fp32;
  }
  if (config.attention == AttentionKernels::cudnn &&
      (config.precision == TrainPrecision::fp32 || config.precision == TrainPrecision::tf32))
    root.fail("attention",
              fmt::format("found cudnn with precision {}, expected a bf16 precision", name_of(config.precision)));
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
  if (config.batch.sequence_length > config.model.positions)
    root.object("batch").fail("sequence_length",
                              fmt::format("found {}, expected at most {}, the positions of the model",
                                          config.batch.sequence_length, config.model.positions));
  config.resolved = resolve(config);
  return config;
}

}  // namespace rowan
