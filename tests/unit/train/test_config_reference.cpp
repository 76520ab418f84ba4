// Tests that configs/README.md lists every config key. Also tests resolved configs, messages about missing keys, ranges
// of integers, and the text about evaluations.
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "error_of.h"
#include "paths.h"
#include "sweep/sweep_run.h"
#include "temporary_folder.h"
#include "train/config.h"
#include "train/data_need.h"

namespace rowan {
namespace {

// The allowed keys that the message for an unknown key lists.
std::vector<std::string> allowed_in(const std::string& message) {
  const std::string start = "(allowed: ";
  const size_t begin = message.find(start);
  EXPECT_NE(message.find("unknown key 'unheard'"), std::string::npos) << message;
  if (begin == std::string::npos) return {};
  std::istringstream list(message.substr(begin + start.size(), message.rfind(')') - begin - start.size()));
  std::vector<std::string> keys;
  for (std::string key; std::getline(list >> std::ws, key, ',');) keys.push_back(key);
  return keys;
}

std::vector<std::string> allowed_keys(const Json& config) {
  TemporaryFolder folder;
  const std::string path = folder.write("config.json", config.dump());
  std::string message;
  try {
    load_config(path, {});
  } catch (const Error& error) {
    message = error.what();
  }
  return allowed_in(message);
}

TEST(ConfigReference, NamesEveryKey) {
  const std::string page = read_file(source_path("configs/README.md"));
  const Json llama = {{"model_type", "llama"},    {"hidden_size", 16},       {"num_hidden_layers", 1},
                      {"num_attention_heads", 2}, {"intermediate_size", 24}, {"vocab_size", 64}},
             gpt2 = {{"model_type", "gpt2"}, {"n_embd", 16}, {"n_layer", 1}, {"n_head", 2}};
  Json qwen3 = llama;
  qwen3["model_type"] = "qwen3";
  const Json config = {{"model", llama},
                       {"data", {{"train", "x.bin"}}},
                       {"batch", {{"sequences", 4}, {"sequence_length", 8}}},
                       {"optimizer", {{"name", "muon"}}},
                       {"schedule", {{"name", "wsd"}}},
                       {"run", {{"dir", "x"}, {"steps", 10}}}};
  std::vector<Json> trials;
  for (const char* section : {"model", "data", "batch", "schedule", "run", "skip", "average"}) {
    trials.push_back(config);
    trials.back()[section]["unheard"] = 1;
  }
  trials.push_back(config);
  trials.back()["unheard"] = 1;
  for (const Json& model : {gpt2, qwen3}) {
    trials.push_back(config);
    trials.back()["model"] = model;
    trials.back()["model"]["unheard"] = 1;
  }
  for (const Json& trial : trials) {
    const std::vector<std::string> keys = allowed_keys(trial);
    EXPECT_GE(keys.size(), 2u);
    for (const std::string& key : keys) EXPECT_NE(page.find('`' + key + '`'), std::string::npos) << key;
  }
}

TEST(ConfigReference, NamesEveryKeyOfASweep) {
  const std::string page = read_file(source_path("configs/README.md"));
  const TemporaryFolder folder;
  const Json sweep = {{"dir", "x"}, {"base", "x.json"}, {"axes", {{"run.steps", {1}}}}};
  for (const char* section : {"", "tune", "resources"}) {
    Json trial = sweep;
    if (*section) trial[section] = {{"unheard", 1}};
    if (*section == 't') trial[section] = {{"path", "optimizer.lr"}, {"values", {1}}, {"unheard", 1}};
    if (!*section) trial["unheard"] = 1;
    std::string message;
    try {
      load_sweep(folder.write("sweep.json", trial.dump()), {});
    } catch (const Error& error) {
      message = error.what();
    }
    const std::vector<std::string> keys = allowed_in(message);
    EXPECT_GE(keys.size(), 2u);
    for (const std::string& key : keys) EXPECT_NE(page.find('`' + key + '`'), std::string::npos) << key;
  }
}

// The tables of configs/README.md have the meaning and default of every key of config_keys(), and say whether a run may
// continue with another value.
TEST(ConfigReference, TablesSayWhatTheKeysAre) {
  const std::string page = read_file(source_path("configs/README.md"));
  for (const auto& [section, rows] : config_keys())
    for (const KeyRow& row : rows) {
      auto cell = [](const std::string& text) { return text.empty() ? " |" : fmt::format(" {} |", text); };
      const std::string line = fmt::format("| `{}` |{}{}", row.name, cell(row.help), cell(row.fallback));
      // A table lacks the last column if none of its keys may change.
      const bool found = page.find(line + cell(row.continues ? "yes" : "") + "\n") != std::string::npos ||
                         (!row.continues && page.find(line + "\n") != std::string::npos);
      EXPECT_TRUE(found) << (section.empty() ? "" : section + ": ") << line;
    }
}

TEST(ResolvedConfig, HoldsEveryDefault) {
  const TemporaryFolder folder;
  const std::string path = folder.write("config.json", R"({
    "model": {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
              "intermediate_size": 24, "vocab_size": 64},
    "data": {"train": "x.bin"}, "batch": {"tokens": 32, "sequence_length": 8},
    "optimizer": {"name": "muon"}, "run": {"dir": "x", "steps": 10}, "comment": "none"})");
  const Json resolved = load_config(path, {}).resolved;
  EXPECT_EQ(resolved["run"]["seed"], 42);
  EXPECT_EQ(resolved["run"]["keep"], 3);
  EXPECT_EQ(resolved["batch"]["sequences"], 4);
  EXPECT_EQ(resolved["data"]["reading"], "packed");
  EXPECT_EQ(resolved["precision"], "auto");
  EXPECT_EQ(resolved["reduce"], "fp32");
  EXPECT_EQ(resolved["grad_clip"], 0.0);
  EXPECT_EQ(resolved["skip"]["window"], 128);
  EXPECT_EQ(resolved["schedule"],
            Json::parse(R"({"name": "cosine", "from_step": 0, "warmup_steps": 0, "min_lr_ratio": 0.1,
                             "falls_from": "warmup"})"));
  EXPECT_EQ(resolved["optimizer"]["variant"], "code");
  EXPECT_EQ(resolved["optimizer"]["ns_coefficients"], "keller");
  EXPECT_EQ(resolved["optimizer"]["ns_steps"], 5);
  EXPECT_EQ(resolved["optimizer"]["adamw"]["betas"], Json::parse("[0.9, 0.95]"));
  EXPECT_EQ(resolved["optimizer"]["adamw"]["eps"], 1e-10);
  EXPECT_TRUE(resolved["optimizer"].contains("equilibrate"));
  EXPECT_EQ(resolved["optimizer"].value("blocks", Json("absent")), Json()) << "a setting that is off is written, too";
  EXPECT_EQ(resolved["optimizer"]["rounding"], "nearest");
  EXPECT_EQ(resolved["model"]["num_key_value_heads"], 2);
  EXPECT_EQ(resolved["model"]["head_dim"], 8);
  EXPECT_EQ(resolved["model"]["max_position_embeddings"], 2048);
  EXPECT_EQ(resolved["model"]["rope_theta"], 10000.0);
  EXPECT_EQ(resolved["model"]["rms_norm_eps"], 1e-6);
  EXPECT_EQ(resolved["model"]["qk_norm"], "none");
  EXPECT_EQ(resolved["model"].value("logit_softcap", Json("absent")), Json());
  EXPECT_TRUE(resolved["version"].is_string());
  EXPECT_EQ(resolved["comment"], "none");
  // The resolved config reads as the same config.
  EXPECT_EQ(load_config(folder.write("again.json", resolved.dump()), {}).resolved, resolved);
}

// Every model's config is read, written with its defaults, and read again.
TEST(ResolvedConfig, HoldsEveryKeyOfAModel) {
  const TemporaryFolder folder;
  for (const auto& entry : std::filesystem::directory_iterator(source_path("configs/models"))) {
    const ModelConfig model = load_model(entry.path().string());
    const Json given = parse_json({entry.path().string(), read_file(entry.path())});
    const auto keys = model_keys();
    for (const KeyRow& row : keys.at(model.family == Family::gpt2 ? "model.gpt2" : "model.llama"))
      EXPECT_TRUE(model.resolved.contains(row.name) || row.name.starts_with("rope_") ||
                  row.name == "max_sequence_length")
          << entry.path() << ": " << row.name;
    for (const auto& [key, value] : given.items()) {
      if (key == "max_sequence_length") continue;
      EXPECT_EQ(model.resolved.value(key, Json()), value) << entry.path() << key;
    }
    EXPECT_EQ(load_model(folder.write("again.json", model.resolved.dump())).resolved, model.resolved) << entry.path();
  }
  const std::string qwen3 = R"({"model_type": "qwen3", "hidden_size": 64, "intermediate_size": 64,
    "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 100,
    "rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8, "low_freq_factor": 1,
                        "high_freq_factor": 4, "original_max_position_embeddings": 8192}})";
  const ModelConfig model = load_model(folder.write("qwen3.json", qwen3));
  EXPECT_EQ(model.resolved["head_dim"], 128);
  EXPECT_EQ(model.resolved["rope_theta"], 5e5);
  const ModelConfig again = load_model(folder.write("again.json", model.resolved.dump()));
  EXPECT_EQ(again.resolved, model.resolved);
  EXPECT_EQ(again.rope, model.rope);
}

TEST(ConfigErrors, NameAllThatIsMissing) {
  const TemporaryFolder folder;
  auto error_of = [&](const std::string& text) -> std::string {
    try {
      load_config(folder.write("config.json", text), {});
    } catch (const Error& error) {
      return std::string(error.what()).substr(std::string(error.what()).find("config.json"));
    }
    return "";
  };
  EXPECT_EQ(error_of("{}"),
            "config.json: model: is missing, as are data.train, batch.sequence_length, batch.sequences, "
            "optimizer.name, run.dir, run.steps");
  EXPECT_EQ(error_of(R"({"model": {"model_type": "gpt2"}, "data": {"mixture": []}, "batch": {"tokens": 8},
                         "optimizer": {"name": "muon"}, "run": {"dir": "x", "steps": 1}})"),
            "config.json: model.n_embd: is missing, as are model.n_layer, model.n_head, batch.sequence_length");
  EXPECT_EQ(error_of(R"({"model_type": "gpt2"})"),
            "config.json:1: model_type: found the config of a model, expected the config of a run, with the keys "
            "model, data, batch, optimizer and run");
  EXPECT_NE(error_of(R"({"device": "gpu"})").find("did you mean 'cuda'?"), std::string::npos);
  EXPECT_NE(error_of(R"({"data": {"trian": "x"}})").find("as are"), std::string::npos);
}

TEST(ResolvedConfig, SaysWhichRunItIs) {
  const std::string path = source_path("configs/quickstart.json");
  const Json before = identity_of(load_config(path, {}).resolved);
  for (const char* same : {"run.keep=0", "run.log_every=1", "run.dir=elsewhere", "device=cpu", "threads=1",
                           "shard=weights", "recompute=block", "data.hellaswag=x", "optimizer.telemetry_every=5",
                           "comment=other", "version=0.0.1", "run.seed=42", "precision=fp32"})
    EXPECT_EQ(identity_of(load_config(path, {same}).resolved), before) << same;
  for (const char* other : {"run.seed=43", "run.steps=900", "precision=bf16", "optimizer.lr=1", "data.order=sequential",
                            "grad_clip=7", "skip.loss_zscore=6"})
    EXPECT_NE(identity_of(load_config(path, {other}).resolved), before) << other;
}

// For nanochat's equilibration, version 0.2.0 wrote keys that had no effect. In configs of other versions such keys are
// refused.
TEST(ResolvedConfig, OfAnEarlierVersionMayHaveKeysWithoutEffect) {
  const TemporaryFolder folder;
  Json json = Json::parse(read_file(source_path("configs/quickstart.json")));
  json["optimizer"] = {{"name", "nanochat"}, {"lr", 0.02}, {"equilibrate_clip", nullptr}};
  json["optimizer"]["equilibrate_exponent"] = -0.5;
  auto resolved_or_error = [&]() -> Json {
    try {
      return load_config(folder.write("config.json", json.dump()), {}).resolved["optimizer"];
    } catch (const Error& error) {
      return error.what();
    }
  };
  auto refuses = [&](const std::string& key) {
    return resolved_or_error().dump().find("optimizer." + key + ": has no effect here") != std::string::npos;
  };
  EXPECT_TRUE(refuses("equilibrate_clip"));
  json["version"] = "0.2.0";
  EXPECT_EQ(resolved_or_error()["equilibrate"], "row_mean");
  EXPECT_FALSE(resolved_or_error().contains("equilibrate_exponent"));
  json["optimizer"]["equilibrate_exponent"] = -0.25;
  EXPECT_TRUE(refuses("equilibrate_exponent"));
}

TEST(ResolvedConfig, OfAnEarlierVersionMayHaveAnAdamWWithoutEffect) {
  const TemporaryFolder folder;
  Json json = Json::parse(read_file(source_path("configs/quickstart.json")));
  json["optimizer"] = {{"name", "lion"}, {"lr", 0.001}, {"adamw", {{"lr", 5}}}};
  auto refused = [&](const std::vector<Edit>& edits) {
    try {
      load_config(folder.write("config.json", json.dump()), edits);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(refused({}).find("optimizer.adamw.lr: has no effect here"), std::string::npos) << refused({});
  json["version"] = "0.1.0";
  EXPECT_EQ(refused({}), "");
  EXPECT_NE(refused({"optimizer.adamw.lr=6"}).find("optimizer.adamw.lr: has no effect here"), std::string::npos);
}

TEST(ResolvedConfig, AnEvaluationReadsWhat20StepsRead) {
  const std::string path = source_path("configs/examples/own_text.json");
  const TrainConfig config = load_config(path, {});
  EXPECT_EQ(config.run.eval_tokens, 20 * 8 * 128);
  EXPECT_EQ(config.resolved["run"]["eval_tokens"], 20 * 8 * 128);
  EXPECT_EQ(load_config(path, {"batch.sequences=16"}).run.eval_tokens, 20 * 16 * 128);
  EXPECT_EQ(load_config(path, {"run.steps=0"}).run.eval_tokens, 0);  // 0 steps: all validation data
  EXPECT_EQ(load_config(path, {"batch.sequences=1099511627776", "batch.micro_batch=1"}).run.eval_tokens,
            (int64_t{1} << 40) / 20 / 128 * 128 * 20);
  for (int64_t given : {0, 64})  // a given value stays
    EXPECT_EQ(load_config(path, {fmt::format("run.eval_tokens={}", given)}).resolved["run"]["eval_tokens"], given);
}

TEST(DataNeed, EvaluationsAreAStatedPart) {
  RunConfig run;
  run.steps = 1000;
  EXPECT_EQ(evaluation_need(run, {}, 2000, {40000}), "at the end on 40.0K tokens, less than 1% of the run");
  run.eval_every = 100;
  EXPECT_EQ(evaluation_need(run, {}, 2000, {40000}), "every 100 steps on 40.0K tokens, about 6% of the run");
  run.eval_every = 300;  // an evaluation at the end is added
  EXPECT_EQ(evaluation_need(run, {}, 2000, {150000}), "every 300 steps on 150K tokens, about 9% of the run");
  EXPECT_EQ(evaluation_need(run, {}, 2000, {}), "every 300 steps on all validation data");
  EXPECT_EQ(evaluation_need(run, {.ema = 0.9}, 2000, {}, 1500000),
            "every 300 steps on HellaSwag's 1.50M tokens, about 50% of the run")
      << "an average is not scored";
  EXPECT_EQ(evaluation_need(run, {}, 2000, {150000}, 1350000),
            "every 300 steps on 150K tokens and on HellaSwag's 1.35M tokens, about 50% of the run");
  EXPECT_EQ(evaluation_need(run, {}, 2000, {150000, 150000}), "every 300 steps on 150K tokens, about 17% of the run")
      << "4 evaluations of 300000 tokens, each a third of a step's work: 400000 of 2.4 million";
}

// 3 documents of 2 tokens and an end token, in rows of 64: the loss has 2 targets a row.
TEST(DataNeed, PaddingIsComputed) {
  const TemporaryFolder folder;
  std::string bytes;
  for (int document = 0; document < 3; ++document)
    for (const int token : {65, 66, 256}) bytes += {static_cast<char>(token & 255), static_cast<char>(token >> 8)};
  TrainConfig config = load_config(source_path("configs/quickstart.json"), {});
  config.data.validation = {folder.write("documents.bin", bytes)};
  config.data.reading = Reading::documents;
  config.data.shards.format = ShardFormat::nanogpt;
  config.data.shards.width = 2;
  config.data.shards.end_id = 256;
  config.batch.sequence_length = 64;
  const EvaluationSize size = evaluation_size(config);
  EXPECT_EQ(size.targets, 3 * 2);
  EXPECT_EQ(size.padding, 3 * (64 - 2));
}

// The 10 evaluations of 40000 tokens take 6% of the run. An average is evaluated too, from its first step on.
TEST(DataNeed, AnAverageCostsAnotherPass) {
  RunConfig run;
  run.steps = 1000;
  run.eval_every = 100;
  for (const auto& [average, percent] : {std::pair{AverageConfig{}, 6},
                                         {AverageConfig{.ema = 0.9}, 12},
                                         {AverageConfig{.ema = 0.9, .ema_start = 500}, 9},
                                         {AverageConfig{.ema = 0.9, .ema_start = 2000}, 6},
                                         {AverageConfig{.tail = 250}, 8},
                                         {AverageConfig{.tail = 5000}, 12},
                                         {AverageConfig{.ema = 0.9, .tail = 250}, 13}})
    EXPECT_EQ(evaluation_need(run, average, 2000, {40000}),
              fmt::format("every 100 steps on 40.0K tokens, about {}% of the run", percent));
}

// A model that reads one document per row does not learn how a document begins.
TEST(ConfigReference, ASampleOfDocumentsNeedsAText) {
  const TemporaryFolder folder;
  Json config = Json::parse(read_file(source_path("configs/quickstart.json")));
  config["data"]["reading"] = "documents";
  const std::string path = folder.write("config.json", config.dump());
  auto error = [&](const std::vector<Edit>& edits) {
    try {
      load_config(path, edits);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(error({}), path +
                           ": run.sample_prompt: is empty, expected a text that the sample of run.sample_tokens "
                           "continues, because with data.reading documents a model does not learn how a document "
                           "begins");
  EXPECT_EQ(error({"run.sample_prompt=Once"}), "");
  EXPECT_EQ(error({"run.sample_tokens=0"}), "");
  EXPECT_EQ(error({"tokenizer=\"\""}), "") << "without a tokenizer there is no sample";
  EXPECT_EQ(error({"data.reading=packed"}), "");
  config["version"] = "0.1.0";
  folder.write("config.json", config.dump());
  EXPECT_EQ(error({}), "") << "the config of an earlier run";
}

// The file has no such object, so the line that was given makes it, not the file.
TEST(ConfigReference, AWrongPartInThePathOfAnEditIsTheEdits) {
  const std::string path = source_path("configs/quickstart.json");
  auto error = [&](const std::vector<Edit>& edits) { return error_of([&] { load_config(path, edits); }); };
  EXPECT_TRUE(error({"optimiser.lr=1"}).starts_with("--set optimiser.lr: optimiser: unknown key"))
      << error({"optimiser.lr=1"});
  EXPECT_NE(error({"optimiser.lr=1"}).find("did you mean 'optimizer'?"), std::string::npos);
  EXPECT_TRUE(error({"run.telemetri.every=1"}).starts_with("--set run.telemetri.every: run.telemetri: unknown key"))
      << error({"run.telemetri.every=1"});
  EXPECT_TRUE(error({"run.stepz=1"}).starts_with("--set run.stepz: unknown key")) << error({"run.stepz=1"});
}

TEST(ConfigReference, SettingsThatCannotTakeEffectAreRefused) {
  const std::string path = source_path("configs/quickstart.json");
  auto error = [&](const std::vector<Edit>& edits) { return error_of([&] { load_config(path, edits); }); };
  EXPECT_NE(error({"run.patience=3", "run.eval_every=0"}).find("run.patience: needs run.eval_every"),
            std::string::npos);
  EXPECT_NE(error({"precision=bf16_stochastic", "optimizer.rounding=nearest"})
                .find("optimizer.rounding: found nearest, expected stochastic with precision bf16_stochastic"),
            std::string::npos);
  EXPECT_EQ(error({"precision=bf16_stochastic"}), "");
  for (const char* precision : {"auto", "fp32", "tf32", "bf16"})
    EXPECT_NE(error({std::string("precision=") + precision, "optimizer.rounding=stochastic"})
                  .find(fmt::format("optimizer.rounding: found stochastic with precision {}, expected", precision)),
              std::string::npos);
  for (const char* precision : {"bf16_stochastic", "bf16_pure"})
    EXPECT_EQ(error({std::string("precision=") + precision, "optimizer.rounding=stochastic"}), "");
  EXPECT_NE(error({"skip.window=64"}).find("skip.window: has no effect without loss_zscore or grad_norm_zscore"),
            std::string::npos);
  EXPECT_EQ(error({"skip.window=64", "skip.loss_zscore=6"}), "");
  EXPECT_EQ(error({"skip.window=64", "skip.grad_norm_zscore=0"}), "") << "a row of a sweep over it";
  const Edit course = R"(optimizer={"name": "muon", "momentum": {"from": 0.8, "to": 0.95, "steps": 5, "end": 0.9}})";
  EXPECT_EQ(error({course}), "");
  EXPECT_NE(error({course, "schedule={\"name\": \"constant\"}"})
                .find("optimizer.momentum.end: has no effect here: the rate of a constant schedule does not fall"),
            std::string::npos);
  const Edit dion2 = "optimizer={\"name\": \"dion2\", \"lr\": 0.01, \"select_decay\": 0.9}";
  EXPECT_EQ(error({dion2}), "");
  EXPECT_NE(error({dion2, "optimizer.form=none"}).find("form none has no momentum buffer"), std::string::npos)
      << error({dion2, "optimizer.form=none"});

  const TemporaryFolder folder;
  Json config = Json::parse(read_file(path));
  config["data"].erase("validation");
  config["run"]["eval_every"] = 5;
  const std::string without = folder.write("config.json", config.dump());
  EXPECT_NE(error_of([&] { load_config(without, {}); }).find("run.eval_every: needs data.validation or data.hellaswag"),
            std::string::npos);
  EXPECT_EQ(error_of([&] { load_config(without, {"run.eval_every=0"}); }), "");
  config["run"] = {{"dir", "run"}, {"steps", 1}, {"sample_prompt", "Once"}};
  const std::string prompt = folder.write("config.json", config.dump());
  EXPECT_NE(error_of([&] { load_config(prompt, {}); }).find("run.sample_prompt: has no effect without sample_tokens"),
            std::string::npos);
  EXPECT_EQ(error_of([&] { load_config(prompt, {"run.sample_tokens=5"}); }), "");
}

// An integer that does not fit in a field is refused, not truncated.
TEST(ConfigReference, IntegersHaveARange) {
  const std::string path = source_path("configs/quickstart.json");
  for (const char* key : {"run.steps",
                          "run.log_every",
                          "run.eval_every",
                          "run.eval_tokens",
                          "run.checkpoint_every",
                          "run.keep",
                          "run.check_weights_every",
                          "run.sample_tokens",
                          "batch.sequences",
                          "batch.sequence_length",
                          "batch.micro_batch",
                          "threads",
                          "skip.window",
                          "data.width",
                          "data.end_id",
                          "optimizer.telemetry_every",
                          "schedule.warmup_steps",
                          "model.num_hidden_layers",
                          "model.hidden_size",
                          "model.head_dim",
                          "model.max_position_embeddings"})
    for (const char* value : {"4611686018427387904", "-4294967294"})
      EXPECT_THROW(load_config(path, {std::string(key) + "=" + value}), Error) << key << " = " << value;
  EXPECT_THROW(load_config(path, {"data.width=4294967298"}), Error);  // would be 2 if truncated to 32 bits
}

}  // namespace
}  // namespace rowan
