#include <gtest/gtest.h>

#include "base/json.h"
#include "base/json_path.h"
#include "small_run.h"
#include "train/continuation.h"

namespace rowan {
namespace {

Json with(const char* path, const Json& value) {
  Json config = {{"model", small_llama()}, {"run", {{"seed", 42}}}};
  apply_edit(config, {path, value, path});
  return config;
}

TEST(Continuation, TheModelsFunctionStays) {
  const Json before = with("run.seed", 42);
  EXPECT_EQ(fixed_difference(before, before), "");
  EXPECT_EQ(fixed_difference(before, with("run.seed", 7)), "run.seed: 42 there, 7 here");
  EXPECT_EQ(fixed_difference(before, with("model.qk_norm", "rms")), "qk_norm: none there, rms here");
  EXPECT_EQ(fixed_difference(before, with("model.rms_norm_eps", 1e-3)), "the norm's epsilon: 1e-06 there, 0.001 here");
  EXPECT_EQ(fixed_difference(before, with("model", small_gpt2())), "model.model_type: \"llama\" there, \"gpt2\" here");
  // A published model's number of heads of keys is that of queries if the key is absent.
  Json heads = before;
  heads["model"].erase("num_key_value_heads");
  EXPECT_EQ(fixed_difference(before, heads), "the number of key/value heads: 2 there, 4 here");
}

TEST(Continuation, WhatOnlyTrainingReadsMayChange) {
  const Json before = with("run.seed", 42);
  for (const char* path : {"model.attention_dropout", "model.initializer_range"})
    EXPECT_EQ(fixed_difference(before, with(path, 0.1)), "") << path;
  EXPECT_EQ(fixed_difference(before, with("model.max_position_embeddings", 64)), "");
  EXPECT_EQ(fixed_difference(before, with("model.bos_token_id", 1)), "");
}

// Such a config may be from another version.
TEST(Continuation, AModelThatIsNotReadIsNotCompared) {
  for (const Json& model : {Json(5), Json::object(), Json{{"model_type", "other"}}})
    EXPECT_EQ(fixed_difference(with("model", model), with("run.seed", 42)), "") << model;
  EXPECT_EQ(fixed_difference(Json::array(), with("run.seed", 42)), "");
}

TEST(Continuation, WhatIsEvaluatedOtherwise) {
  const Json before = with("run.eval_tokens", 64);
  EXPECT_FALSE(evaluates_otherwise(before, before));
  EXPECT_FALSE(evaluates_otherwise(before, with("run.log_every", 3)));
  EXPECT_TRUE(evaluates_otherwise(before, with("run.eval_tokens", 128)));
  const Json scored = with("data.hellaswag", "items.jsonl"), empty = with("data.hellaswag", "");
  EXPECT_TRUE(evaluates_otherwise(empty, scored));
  EXPECT_TRUE(evaluates_otherwise(before, scored));
  EXPECT_FALSE(evaluates_otherwise(scored, empty));
  EXPECT_FALSE(evaluates_otherwise(scored, with("data.hellaswag", nullptr)));
}

TEST(Continuation, LossesOfOtherTextAreNotComparable) {
  const Json none = with("run.eval_tokens", 64);
  Json before = none, moved = none, more = none, within = none;
  before["data"] = moved["data"] = more["data"] = within["data"] = {{"validation", "a.bin"}};
  moved["data"]["validation"] = "b.bin";
  more["run"]["eval_tokens"] = 128;
  within["data"]["documents"] = {{"end_token", "first"}};
  EXPECT_FALSE(measures_otherwise(before, before, false));
  EXPECT_FALSE(measures_otherwise(before, moved, false)) << "the same shards in another place";
  EXPECT_TRUE(measures_otherwise(before, before, true));
  EXPECT_TRUE(measures_otherwise(before, more, false));
  EXPECT_TRUE(measures_otherwise(before, within, false));
  Json ranks = before;
  ranks["data"]["batch_means"] = {{"ranks", 8}, {"rows", 12}};
  EXPECT_TRUE(measures_otherwise(before, ranks, false)) << "it chooses the rows";
  EXPECT_FALSE(measures_otherwise(before, none, true)) << "nothing is evaluated";
}

TEST(Continuation, ConditionsAreOfShardsAndState) {
  const Json change = {{"from", 1}, {"to", 2}};
  auto condition = [&](const std::vector<const char*>& pointers) {
    Json changes = Json::object();
    for (const char* pointer : pointers) changes[pointer] = change;
    return condition_of(changes);
  };
  EXPECT_EQ(condition({"/optimizer/lr", "/optimizer/adamw/lr_ratio", "/run/steps"}), "");
  EXPECT_EQ(condition({"/data/mixture/0/weight"}), " if its shards are the same");
  EXPECT_EQ(condition({"/optimizer/name"}), " if its optimizer has the same state");
  EXPECT_EQ(condition({"/data/train", "/optimizer/name"}),
            " if its shards are the same and its optimizer has the same state");
}

}  // namespace
}  // namespace rowan
