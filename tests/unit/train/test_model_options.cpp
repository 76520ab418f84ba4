// Tests that model_options() passes on every key of a config that concerns the model's passes.
#include <gtest/gtest.h>

#include "small_run.h"
#include "temporary_folder.h"
#include "train/config.h"
#include "train/model_options.h"

namespace rowan {
namespace {

ModelOptions options_of(const Json& more, int ranks = 1, int32_t end_token = -1) {
  const TemporaryFolder folder;
  Json config = {{"model", small_llama()},
                 {"data", {{"train", "train.bin"}}},
                 {"batch", {{"sequences", 24}, {"sequence_length", 16}}},
                 {"optimizer", {{"name", "muon"}}},
                 {"precision", "fp32"},
                 {"run", {{"dir", "run"}, {"steps", 1}}}};
  config.merge_patch(more);
  return model_options(load_config(folder.write("config.json", config.dump()), {}), ranks, end_token);
}

TEST(ModelOptionsOfAConfig, Defaults) {
  const ModelOptions options = options_of(Json::object());
  EXPECT_EQ(options.batch, 24);
  EXPECT_EQ(options.seq, 16);
  EXPECT_EQ(options.compute, DType::f32);
  EXPECT_EQ(options.gradient, DType::f32);
  EXPECT_FALSE(options.fp32_residual);
  EXPECT_EQ(options.recompute, Recompute::none);
  EXPECT_TRUE(options.training);
  EXPECT_FALSE(options.growing);
  EXPECT_FALSE(options.documents);
  EXPECT_EQ(options.dropout_seed, 42u);
  EXPECT_EQ(options.z_loss, 0);
  EXPECT_EQ(options.resident_weights, 0);
  EXPECT_EQ(options.resident_gradients, 0);
}

TEST(ModelOptionsOfAConfig, EveryKeyIsPassedOn) {
  EXPECT_EQ(options_of({{"batch", {{"micro_batch", 3}}}}).batch, 3);
  EXPECT_EQ(options_of(Json::object(), 4).batch, 6);
  EXPECT_EQ(options_of({{"batch", {{"sequence_length", 12}}}}).seq, 12);
  EXPECT_EQ(options_of({{"precision", "bf16"}}).compute, DType::bf16);
  EXPECT_EQ(options_of({{"precision", "bf16"}}).gradient, DType::f32);
  EXPECT_EQ(options_of({{"precision", "bf16_pure"}}).gradient, DType::bf16);
  EXPECT_TRUE(options_of({{"precision", "bf16"}, {"residual", "fp32"}}).fp32_residual);
  EXPECT_EQ(options_of({{"recompute", "mlp"}}).recompute, Recompute::mlp);
  EXPECT_EQ(options_of({{"recompute", "block"}}).recompute, Recompute::block);
  EXPECT_EQ(options_of({{"run", {{"seed", 7}}}}).dropout_seed, 7u);
  EXPECT_EQ(options_of({{"z_loss", 0.125}}).z_loss, 0.125);
  // A pass holds the weights or gradients of only some layers if several ranks share these.
  EXPECT_GT(options_of({{"shard", "gradients"}}, 2).resident_gradients, 0);
  EXPECT_EQ(options_of({{"shard", "gradients"}}, 2).resident_weights, 0);
  EXPECT_GT(options_of({{"shard", "weights"}}, 2).resident_weights, 0);
  EXPECT_EQ(options_of({{"shard", "weights"}}, 1).resident_weights, 0);
}

TEST(ModelOptionsOfAConfig, Documents) {
  for (const char* end : {"first", "last"})
    for (const char* positions : {"restart", "continue"}) {
      const Json documents = {{"end_token", end}, {"positions", positions}};
      const ModelOptions options = options_of({{"data", {{"documents", documents}}}}, 1, 5);
      ASSERT_TRUE(options.documents) << documents;
      EXPECT_EQ(options.documents->rule.end_token, 5) << documents;
      EXPECT_EQ(options.documents->rule.opens, end == std::string("first")) << documents;
      EXPECT_EQ(options.documents->restart, positions == std::string("restart")) << documents;
    }
}

}  // namespace
}  // namespace rowan
