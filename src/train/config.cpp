#include "train/config.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "model/layout.h"

namespace rowan {
namespace {

constexpr int64_t most = int64_t{1} << 40;

BatchConfig parse_batch(JsonObject batch) {
  BatchConfig result;
  result.sequence_length = batch.integer("sequence_length", {}, 1, most);
  if (batch.has("tokens") && batch.has("sequences"))
    batch.fail("tokens", "either tokens or sequences a step can be given, not both");
  if (batch.has("tokens")) {
    const int64_t tokens = batch.integer("tokens", {}, 1, most);
    if (tokens % result.sequence_length)
      batch.fail("tokens", fmt::format("{} is not a multiple of sequence_length {}", tokens, result.sequence_length));
    result.sequences = tokens / result.sequence_length;
  } else {
    result.sequences = batch.integer("sequences", {}, 1, most);
  }
  result.micro_batch = batch.integer("micro_batch", 0, 1, most);
  if (result.micro_batch && result.sequences % result.micro_batch)
    batch.fail("micro_batch",
               fmt::format("{} does not divide the {} sequences of a step", result.micro_batch, result.sequences));
  constexpr int64_t most_at_once = int64_t{1} << 31;  // tokens; far more than any memory holds
  const int64_t at_once = result.micro_batch ? result.micro_batch : result.sequences;
  if (at_once > most_at_once / result.sequence_length)
    batch.fail(result.micro_batch ? "micro_batch" : "sequences",
               fmt::format("found {}: sequences of {} tokens, at most {} at once", at_once, result.sequence_length,
                           most_at_once / result.sequence_length));
  batch.finish();
  return result;
}

RunConfig parse_run(JsonObject run) {
  RunConfig result;
  result.dir = run.string("dir");
  if (result.dir.empty()) run.fail("dir", "is empty");
  result.steps = run.integer("steps", {}, 0, most);
  result.seed = static_cast<uint64_t>(run.integer("seed", 42, 0));
  result.log_every = run.integer("log_every", 10, 1);
  result.eval_every = run.integer("eval_every", 0, 0);
  result.eval_tokens = run.integer("eval_tokens", 0, 0);
  result.checkpoint_every = run.integer("checkpoint_every", 0, 0);
  result.keep = run.integer("keep", 3, 0);
  result.check_weights_every = run.integer("check_weights_every", 0, 0);
  result.sample_prompt = run.string("sample_prompt", "");
  result.sample_tokens = run.integer("sample_tokens", 0, 0, 100000);
  run.finish();
  return result;
}

SkipConfig parse_skip(JsonObject skip) {
  SkipConfig result;
  result.loss_zscore = skip.number("loss_zscore", 0, 0);
  result.grad_norm_zscore = skip.number("grad_norm_zscore", 0, 0);
  result.window = skip.integer("window", 128, 2, 100000);
  skip.finish();
  return result;
}

}  // namespace

TrainConfig load_config(const std::string& path, const std::vector<std::string>& overrides) {
  auto source = std::make_shared<JsonSource>(JsonSource{path, read_file(path)});
  Json json = parse_json(*source);
  for (const std::string& assignment : overrides) source->overridden.push_back(apply_override(json, assignment));

  TrainConfig config;
  JsonObject root(source, json);
  if (root.has("model") && root.raw("model").is_string()) {
    const std::filesystem::path given = root.string("model");
    config.model =
        load_model((given.is_absolute() ? given : std::filesystem::path(path).parent_path() / given).string());
  } else {
    config.model = parse_model(root.object("model", true));
  }
  config.init = root.string("init", "");
  config.tokenizer = root.string("tokenizer", "");
  config.data = parse_data(root.object("data", true));
  config.batch = parse_batch(root.object("batch", true));
  config.run = parse_run(root.object("run", true));
  config.optimizer = parse_optimizer(root.object("optimizer", true));
  check_routing(root.object("optimizer"), config.optimizer, parameter_table(config.model));
  // Where there are no steps, a schedule that some were meant for does no harm.
  config.schedule = parse_schedule(root.object("schedule"), config.run.steps ? config.run.steps : most);
  config.grad_clip = root.number("grad_clip", 0, 0);
  config.skip = parse_skip(root.object("skip"));
  config.precision = root.choice("precision", config.precision);
  if (config.precision == TrainPrecision::bf16_stochastic) {
    config.optimizer.stochastic = true;
    if (config.optimizer.state == Precision::automatic) config.optimizer.state = Precision::f32;
  }
  config.recompute = root.choice("recompute", config.recompute);
  const char* own = gradient_dtype(config.precision) == DType::bf16 ? "bf16" : "fp32";
  config.reduce = root.choice("reduce", {"fp32", "bf16"}, own) == "bf16" ? DType::bf16 : DType::f32;
  config.shard = root.choice("shard", config.shard);
  config.device = root.choice("device", config.device);
  config.threads = static_cast<int>(root.integer("threads", 0, 0, 4096));
  config.attention = root.choice("attention", config.attention);
  if (config.attention == AttentionKernels::cudnn && config.precision == TrainPrecision::fp32)
    root.fail("attention", "cudnn takes bf16, the precision is fp32");
  if (root.has("comment")) root.raw("comment");
  root.finish();

  if (config.batch.sequence_length > config.model.positions)
    root.object("batch").fail("sequence_length", fmt::format("found {}, but the model has {} positions",
                                                             config.batch.sequence_length, config.model.positions));
  config.resolved = json;
  config.resolved["model"] = config.model.source;
  return config;
}

}  // namespace rowan
