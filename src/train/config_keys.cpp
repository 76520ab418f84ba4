#include "train/config_keys.h"

#include <fmt/format.h>

#include <limits>
#include <set>

#include "base/json.h"
#include "base/threads.h"
#include "base/version.h"
#include "optim/recipe.h"
#include "optim/recipes.h"

namespace rowan {
namespace {

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

}  // namespace

void visit(BatchConfig& batch, Section& keys) {
  keys.integer<1, largest_count>({.name = "sequence_length", .help = "tokens", .required = true},
                                 batch.sequence_length);
  keys.integer<1, largest_count>({.name = "sequences",
                                  .help = "sequences per step, over all ranks; a multiple of their number",
                                  .required = batch.sequences == 0,
                                  .instead = "tokens"},
                                 batch.sequences);
  keys.other(
      {.name = "tokens", .help = "instead of `sequences`: tokens per step; must be a multiple of `sequence_length`"},
      {});
  keys.integer<0, largest_count>({.name = "micro_batch",
                                  .help = "sequences that a rank processes at once, a divisor of the rank's sequences; "
                                          "gradients accumulate over a step; 0: all of the rank's sequences",
                                  .continues = true},
                                 batch.micro_batch);
}

void visit(RunConfig& run, Section& keys) {
  keys.text({.name = "dir", .help = "the run's directory", .required = true, .continues = true}, run.dir);
  keys.integer<0, largest_count>(
      {.name = "steps", .help = "optimizer updates; 0: only evaluates and saves the initial weights", .required = true},
      run.steps);
  keys.integer<0, INT64_MAX>({.name = "seed", .help = "seed of initial weights, sample order and stochastic rounding"},
                             run.seed);
  keys.integer<1, largest_count>(
      {.name = "log_every", .help = "steps between rows of metrics.jsonl", .continues = true}, run.log_every);
  keys.integer<0, largest_count>(
      {.name = "eval_every", .help = "steps between evaluations; 0: only at the end", .continues = true},
      run.eval_every);
  keys.integer<0, largest_count>({.name = "eval_tokens",
                                  .help = "number of validation tokens that are read, from the first on; 0: all",
                                  .continues = true,
                                  .absent = "as many as 20 steps read; all if `steps` is 0"},
                                 run.eval_tokens);
  keys.integer<0, largest_count>(
      {.name = "checkpoint_every",
       .help = "steps between checkpoints; 0: not by steps; the end of a run and a stop always save one",
       .continues = true},
      run.checkpoint_every);
  if (keys.reading()) run.checkpoint_seconds = run.checkpoint_every ? 0 : 600;
  keys.integer<0, largest_count>({.name = "checkpoint_seconds",
                                  .help = "seconds between checkpoints; 0: not by time",
                                  .continues = true,
                                  .absent = "600 where `checkpoint_every` is 0, else 0"},
                                 run.checkpoint_seconds);
  keys.integer<0, 1000000>({.name = "keep", .help = "number of newest checkpoints to keep; 0: all", .continues = true},
                           run.keep);
  keys.integer<0, largest_count>(
      {.name = "keep_every",
       .help = "the first checkpoint at or after every multiple of this number of steps is never removed; one is "
               "written at the multiple, or later if that update is skipped; 0: none",
       .continues = true},
      run.keep_every);
  keys.flag({.name = "keep_best",
             .help = "also keep the checkpoint with the lowest validation loss; every evaluation then saves one, "
                     "unless the update of its step is skipped",
             .continues = true},
            run.keep_best);
  keys.integer<0, largest_count>(
      {.name = "patience",
       .help = "the run ends after this many evaluations without a lower validation loss; 0: never",
       .continues = true},
      run.patience);
  keys.integer<0, largest_count>(
      {.name = "max_seconds",
       .help = "after this time the process saves and exits with code 124, or ends the sample of a run that is "
               "complete; 0: never; choose it so that the save ends before the job's time limit",
       .continues = true},
      run.max_seconds);
  keys.integer<0, largest_count>(
      {.name = "check_weights_every",
       .help = "steps between comparisons of the weights that all ranks hold; 0: only at the start",
       .continues = true},
      run.check_weights_every);
  keys.integer<0, largest_count>(
      {.name = "norms_every",
       .help = "steps between rows with the norms of each layer's weights, gradients and updates in "
               "metrics.jsonl; 0: never",
       .continues = true},
      run.norms_every);
  keys.text({.name = "sample_prompt",
             .help = "text that the model continues at the end of the run; needed where `reading` is `documents`",
             .continues = true},
            run.sample_prompt);
  keys.integer<0, 100000>(
      {.name = "sample_tokens", .help = "number of tokens that continue `sample_prompt`", .continues = true},
      run.sample_tokens);
}

void visit(SkipConfig& skip, Section& keys) {
  constexpr double any = std::numeric_limits<double>::max();
  keys.number(
      {.name = "loss_zscore",
       .help = "skip a step whose loss is more than this many standard deviations above the mean of the last `window` "
               "losses; 0: off"},
      skip.loss_zscore, 0, any);
  keys.number({.name = "grad_norm_zscore", .help = "like `loss_zscore`, for the gradient norm before clipping; 0: off"},
              skip.grad_norm_zscore, 0, any);
  keys.integer<2, 100000>({.name = "window", .help = "number of last steps to compare with"}, skip.window);
}

void visit(AverageConfig& average, Section& keys) {
  keys.number({.name = "ema",
               .help = "coefficient of an exponential average, a <- ema a + (1 - ema) w after each update; 0: none"},
              average.ema, 0, 0.9999999);
  keys.integer<0, largest_count>(
      {.name = "ema_start",
       .help = "number of steps before the average starts; its first value is the weights after the next update"},
      average.ema_start);
  keys.integer<0, largest_count>(
      {.name = "tail",
       .help =
           "number of steps at the end of the run over which the weights are averaged, all counting equally; 0: none"},
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
                     "folder); needed only to decode and to score text"},
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
                       "timing several, once for each shape, for a product with bias or GELU also against separate "
                       "passes; `timed` keeps the choices in the run's folder, so a continued run has the same bits; "
                       "several ranks use them from the second step on"},
              config.products);
  keys.integer<0, most_threads>({.name = "threads",
                                 .help = "CPU threads; 0: OMP_NUM_THREADS, or one per logical CPU that the process may "
                                         "use; ranks of one machine share them",
                                 .continues = true},
                                config.threads);
  keys.choice({.name = "shard", .help = "what is sharded among the ranks instead of copied to each", .continues = true},
              config.shard);
  if (keys.reading()) config.reduce = gradient_dtype(config.precision);
  Travel reduce = config.reduce == DType::bf16 ? Travel::bf16 : Travel::fp32;
  keys.choice({.name = "reduce", .help = "dtype in which ranks exchange gradients", .absent = "dtype of the gradients"},
              reduce);
  config.reduce = reduce == Travel::bf16 ? DType::bf16 : DType::f32;
  keys.other({.name = "comment", .help = "anything; ignored", .continues = true}, config.comment);
  keys.other(
      {.name = "version", .help = "version of the program that wrote the config.json; ignored", .continues = true},
      version());
}

Json resolve(TrainConfig config) {
  Json json;
  for_sections(config, [&](const std::string& name, const Visit& visit) {
    (name.empty() ? json : json[name]) = write_keys(visit);
  });
  json["optimizer"] = to_json(config.optimizer);  // also contains the switches of the recipes
  return json;
}

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

Json identity_of(Json resolved) {
  for (const auto& [section, rows] : config_keys()) {
    if (!section.empty() && !resolved.contains(section)) continue;
    for (const KeyRow& row : rows)
      if (row.continues) (section.empty() ? resolved : resolved[section]).erase(row.name);
  }
  return resolved;
}

}  // namespace rowan
