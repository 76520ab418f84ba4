// Prepares a small run of `rowan train` in the test's own folder. Also reads the weights and rows of a run.
#pragma once

#include <fmt/core.h>

#include <sstream>
#include <string>
#include <vector>

#include "base/json.h"
#include "command.h"
#include "small_run.h"

namespace rowan {

class TrainCommand : public CommandTest {
 protected:
  void SetUp() override {
    CommandTest::SetUp();
    write_small_shard(dir_ / "train.bin", 3001);
    write_small_shard(dir_ / "validation.bin", 301);
    write_config(config());
  }

  Json config() {
    return {{"model", small_llama()},
            {"tokenizer", "bytes"},
            {"data", {{"train", (dir_ / "train.bin").string()}, {"validation", (dir_ / "validation.bin").string()}}},
            {"batch", {{"sequences", 4}, {"sequence_length", 16}, {"micro_batch", 2}}},
            {"optimizer", {{"name", "muon-moonlight"}, {"lr", 0.01}}},
            {"schedule", {{"name", "cosine"}, {"warmup_steps", 2}}},
            {"precision", "fp32"},
            {"device", "cpu"},
            {"run", {{"dir", run("run").string()}, {"steps", 12}, {"log_every", 1}, {"checkpoint_every", 4}}}};
  }
  void write_config(const Json& json) { write_file_atomically(file(), json.dump(2)); }
  std::filesystem::path file() const { return dir_ / "config.json"; }
  std::filesystem::path run(const std::string& name) const { return dir_ / name; }
  std::string train(const std::string& more = "") { return "train " + file().string() + " " + more; }
  std::string into(const std::string& name) { return " --set run.dir=" + run(name).string(); }

  static std::string weights(const std::filesystem::path& run, int step) {
    return read_file(run / fmt::format("checkpoints/step_{:08}/model.safetensors", step)) +
           read_file(run / fmt::format("checkpoints/step_{:08}/optimizer.safetensors", step));
  }
  // The rows of metrics.jsonl without times and rates, and without the rows that mark where a run continued or was
  // evaluated otherwise.
  static std::vector<Json> rows(const std::filesystem::path& run) {
    std::vector<Json> result;
    std::istringstream lines(read_file(run / "metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      Json row = Json::parse(line);
      if (row.contains("resume") || row.contains("evaluation")) continue;
      for (const char* key : {"tokens_per_second", "mfu", "seconds"}) row.erase(key);
      const Json all = row;
      for (const auto& [key, value] : all.items())
        if (key.starts_with("time/")) row.erase(key);
      result.push_back(row);
    }
    return result;
  }
};

}  // namespace rowan
