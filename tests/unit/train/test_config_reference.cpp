// configs/README.md names every key that a config may have, and a resolved config holds every one with its value.
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "paths.h"
#include "sweep/sweep_file.h"
#include "temporary_folder.h"
#include "train/config.h"

namespace rowan {
namespace {

// The keys allowed beside the unknown one, which the message lists.
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
  for (const char* section : {"model", "data", "batch", "schedule", "run", "skip"}) {
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
  const std::string file = testing::TempDir() + "sweep_reference.json";
  const Json sweep = {{"dir", "x"}, {"base", "x.json"}, {"axes", {{"run.steps", {1}}}}};
  for (const char* section : {"", "tune", "resources"}) {
    Json trial = sweep;
    if (*section) trial[section] = {{"unheard", 1}};
    if (*section == 't') trial[section] = {{"path", "optimizer.lr"}, {"values", {1}}, {"unheard", 1}};
    if (!*section) trial["unheard"] = 1;
    write_file_atomically(file, trial.dump());
    std::string message;
    try {
      load_sweep(file, {});
    } catch (const Error& error) {
      message = error.what();
    }
    for (const std::string& key : allowed_in(message)) EXPECT_NE(page.find('`' + key + '`'), std::string::npos) << key;
  }
  std::filesystem::remove(file);
}

// The tables are those of the keys themselves: meaning, default, and whether a run may continue with another value.
TEST(ConfigReference, TablesSayWhatTheKeysAre) {
  const std::string page = read_file(source_path("configs/README.md"));
  for (const auto& [section, rows] : config_keys())
    for (const KeyRow& row : rows) {
      auto cell = [](const std::string& text) { return text.empty() ? " |" : fmt::format(" {} |", text); };
      const std::string line = fmt::format("| `{}` |{}{}{}\n", row.name, cell(row.help), cell(row.fallback),
                                           cell(row.continues ? "yes" : ""));
      EXPECT_NE(page.find(line), std::string::npos) << (section.empty() ? "" : section + ": ") << line;
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
  EXPECT_EQ(resolved["schedule"], Json::parse(R"({"name": "cosine", "warmup_steps": 0, "min_lr_ratio": 0.1})"));
  EXPECT_EQ(resolved["optimizer"]["variant"], "code");
  EXPECT_EQ(resolved["optimizer"]["ns_coefficients"], "keller");
  EXPECT_EQ(resolved["optimizer"]["ns_steps"], 5);
  EXPECT_EQ(resolved["optimizer"]["adamw"]["betas"], Json::parse("[0.9, 0.95]"));
  EXPECT_EQ(resolved["optimizer"]["adamw"]["eps"], 1e-10);
  EXPECT_TRUE(resolved["version"].is_string());
  EXPECT_EQ(resolved["comment"], "none");
  // It reads as itself.
  EXPECT_EQ(load_config(folder.write("again.json", resolved.dump()), {}).resolved, resolved);
}

TEST(ResolvedConfig, SaysWhichRunItIs) {
  const std::string path = source_path("configs/quickstart.json");
  const Json before = identity_of(load_config(path, {}).resolved);
  for (const char* same : {"run.keep=0", "run.log_every=1", "run.dir=elsewhere", "device=cpu", "threads=1",
                           "shard=weights", "recompute=block", "data.hellaswag=x", "optimizer.telemetry_every=5",
                           "comment=other", "version=0.0.1", "run.seed=42", "precision=fp32"})
    EXPECT_EQ(identity_of(load_config(path, {same}).resolved), before) << same;
  for (const char* other : {"run.seed=43", "run.steps=900", "precision=bf16", "optimizer.lr=1", "data.order=sequential",
                            "grad_clip=7", "skip.window=64"})
    EXPECT_NE(identity_of(load_config(path, {other}).resolved), before) << other;
}

// What no field can hold is refused, not cut to what it can.
TEST(ConfigReference, IntegersHaveARange) {
  const std::string path = source_path("configs/quickstart.json");
  for (const char* key :
       {"run.steps", "run.log_every", "run.eval_every", "run.eval_tokens", "run.checkpoint_every", "run.keep",
        "run.check_weights_every", "run.sample_tokens", "batch.sequences", "batch.sequence_length", "batch.micro_batch",
        "threads", "skip.window", "data.width", "data.end_id"})
    for (const char* value : {"4611686018427387904", "-4294967294"})
      EXPECT_THROW(load_config(path, {std::string(key) + "=" + value}), Error) << key << " = " << value;
  EXPECT_THROW(load_config(path, {"data.width=4294967298"}), Error);  // 2 when cut to 32 bits
}

}  // namespace
}  // namespace rowan
