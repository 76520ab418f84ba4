// Prepares the shards and the base config of a sweep of small runs in the test's own folder.
#pragma once

#include "base/json.h"
#include "command.h"
#include "small_run.h"

namespace rowan {

class SweepCommand : public CommandTest {
 protected:
  void SetUp() override {
    CommandTest::SetUp();
    write_small_shard(dir_ / "train.bin", 3001);
    write_small_shard(dir_ / "validation.bin", 301);
  }

  // Writes base.json. `run` is its section of that name.
  void write_base(const Json& run) {
    const Json base = {
        {"model", small_llama()},
        {"data", {{"train", (dir_ / "train.bin").string()}, {"validation", (dir_ / "validation.bin").string()}}},
        {"batch", {{"sequences", 4}, {"sequence_length", 16}}},
        {"optimizer", {{"name", "adamw"}}},
        {"device", "cpu"},
        {"run", run}};
    write_file_atomically(dir_ / "base.json", base.dump(2));
  }
};

}  // namespace rowan
