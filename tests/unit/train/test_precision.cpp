// Tests to which precision the default, "precision": "auto", resolves. A stated precision must stay.
#include <gtest/gtest.h>

#include "base/json.h"
#include "paths.h"
#include "temporary_folder.h"
#include "train/config.h"

namespace rowan {
namespace {

TrainConfig precision_config(const std::string& precision) {
  TemporaryFolder folder;
  Json json = {{"model", source_path("configs/models/gpt2_124m.json")},
               {"data", {{"train", "train.bin"}}},
               {"batch", {{"sequences", 1}, {"sequence_length", 16}}},
               {"optimizer", {{"name", "adamw"}}},
               {"run", {{"dir", "run"}, {"steps", 1}}}};
  if (!precision.empty()) json["precision"] = precision;
  return load_config(folder.write("config.json", json.dump()), {});
}

TEST(Precision, AutoFollowsTheDevice) {
  for (const char* text : {"", "auto"})
    for (bool fast_bf16 : {false, true}) {
      TrainConfig config = precision_config(text);
      resolve_precision(config, fast_bf16);
      EXPECT_EQ(config.precision, fast_bf16 ? TrainPrecision::bf16 : TrainPrecision::fp32);
      EXPECT_EQ(config.resolved["precision"], fast_bf16 ? "bf16" : "fp32");
    }
}

TEST(Precision, WhatIsStatedStays) {
  for (const char* text : {"fp32", "bf16", "bf16_stochastic", "bf16_pure", "tf32"})
    for (bool fast_bf16 : {false, true}) {
      TrainConfig config = precision_config(text);
      resolve_precision(config, fast_bf16);
      EXPECT_STREQ(name_of(config.precision), text);
      EXPECT_EQ(config.resolved["precision"], text);
    }
}

}  // namespace
}  // namespace rowan
