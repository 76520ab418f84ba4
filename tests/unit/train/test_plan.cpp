// Tests the memory, the work and the traffic that `rowan plan` computes for many ranks. Also tests the workspace that
// `rowan plan` counts for a GPU.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "kernels/backend.h"
#include "model/layout.h"
#include "optim/recipes.h"
#include "paths.h"
#include "train/plan.h"
#include "train/update_costs.h"

namespace rowan {
namespace {

TrainConfig config_of(const std::string& model, const std::string& shard, const Json& optimizer = {{"name", "muon"}}) {
  const auto folder = std::filesystem::temp_directory_path() / ("plan" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  Json json = {{"model", source_path("configs/models/" + model + ".json")},
               {"data", {{"train", "train.bin"}}},
               {"batch", {{"sequences", 8}, {"sequence_length", 16}, {"micro_batch", 1}}},
               {"optimizer", optimizer},
               {"precision", "fp32"},
               {"shard", shard},
               {"run", {{"dir", "run"}, {"steps", 1}}}};
  std::ofstream(folder / "config.json") << json.dump(1);
  TrainConfig config = load_config((folder / "config.json").string(), {});
  std::filesystem::remove_all(folder);
  return config;
}

double sent(const Plan& plan) { return plan.gradient_bytes_sent + plan.weight_bytes_sent; }

TEST(Plan, EveryOptimizerIsBalancedOnEightRanks) {
  for (const char* model : {"llama_130m", "llama_350m"}) {
    for (const std::string& optimizer : recipe_names()) {
      Plan plan = make_plan(config_of(model, "optimizer", {{"name", optimizer}}), 8);
      EXPECT_EQ(plan.uneven, "");
      EXPECT_LE(plan.work_balance, 1.08) << model << " " << optimizer;
      EXPECT_LE(plan.memory_balance, 1.08) << model << " " << optimizer;
    }
  }
}

// The embedding of llama_130m is more than 1/8 of the model.
TEST(Plan, WorkIsAsEvenAsItSays) {
  const TrainConfig whole = config_of("llama_130m", "optimizer", {{"name", "mano"}, {"routing", "two_dimensional"}});
  EXPECT_EQ(
      make_plan(whole, 8).uneven,
      "one rank updates the whole of model.embed_tokens.weight, which is 1.47 times an equal share of the work; use at "
      "most 5 ranks, or a recipe that works by row or element (optimizer.groups)");
  EXPECT_LE(make_plan(whole, 4).work_balance, 1.08);
}

// The ranks of a machine share its memory.
TEST(Plan, WhatTheRanksOfAMachineNeedIsAdded) {
  const TrainConfig config = config_of("llama_tiny", "none");
  auto backend = make_cpu_backend(1);
  const size_t need = make_plan(config, 8).total_bytes, free = available_memory();
  const int fit = static_cast<int>(free / need);
  ASSERT_GT(fit, 0);
  EXPECT_NO_THROW(check_memory(config, *backend, 8, std::max(1, fit / 2)));
  std::string text;
  try {
    check_memory(config, *backend, 8, 2 * fit + 1);
  } catch (const Error& error) {
    text = error.what();
  }
  EXPECT_TRUE(text.starts_with("out of memory: found ")) << text;
  EXPECT_NE(text.find(fmt::format("on each of this machine's {} ranks; ", 2 * fit + 1)), std::string::npos) << text;
}

// AdamW keeps two values for each element, in the dtype of the weights if these have no fp32 masters.
TEST(Plan, CostsAreThoseOfThePrecision) {
  const TrainConfig config = config_of("llama_tiny", "none", {{"name", "adamw"}});
  const ParameterTable table = parameter_table(config.model);
  const auto count = static_cast<double>(table.parameters()[0].numel());
  auto cost = [&](TrainPrecision precision) { return update_costs(config.optimizer, table, precision)[0]; };
  EXPECT_EQ(cost(TrainPrecision::fp32).bytes, 8 * count);
  EXPECT_EQ(cost(TrainPrecision::bf16).bytes, 12 * count) << "with masters";
  EXPECT_EQ(cost(TrainPrecision::bf16_pure).bytes, 4 * count);
  // The update reads and writes weights and state, and only reads gradients.
  EXPECT_NEAR(cost(TrainPrecision::bf16_pure).work / cost(TrainPrecision::fp32).work, 0.5, 0.02);
}

TEST(Plan, StateAndWorkAreSplit) {
  Plan alone = make_plan(config_of("llama_130m", "optimizer"), 1),
       eight = make_plan(config_of("llama_130m", "optimizer"), 8);
  const auto state = static_cast<size_t>(Category::optimizer_state);
  EXPECT_LE(static_cast<double>(eight.bytes[state]), 1.08 / 8 * static_cast<double>(alone.bytes[state]));
  EXPECT_LE(eight.optimizer_flops, 1.08 / 8 * alone.optimizer_flops);
}

// The expected bytes are the workspace that cuDNN 9.19 reports for an H100 (tests/gpu/cudnn_plans.cpp), and one fp32
// sum for each query of a head, which cuDNN's frontend stores.
TEST(Plan, TheScoresThatCudnnStoresAreCounted) {
  TrainConfig config = config_of("gpt2_124m", "none");
  config.batch = {64, 1024, 64};
  const auto workspace = static_cast<size_t>(Category::workspace);
  const size_t own = make_plan(config, 1).bytes[workspace];
  config.attention = AttentionKernels::cudnn;
  EXPECT_EQ(make_plan(config, 1).bytes[workspace] - own, 1610612992 + 4 * 64 * 12 * 1024);
}

// On a GPU, the plan adds the 32 MiB of cuBLASLt's workspace and attention's scratch memory. For each query of a head,
// attention keeps the sums of dq (64 elements) and one value of delta, all in fp32.
TEST(Plan, TheWorkspaceOfAGpuIsCounted) {
  TrainConfig config = config_of("gpt2_124m", "none", {{"name", "adamw"}});
  config.batch = {64, 1024, 64};
  config.precision = TrainPrecision::bf16;
  const auto workspace = static_cast<size_t>(Category::workspace);
  const size_t cpu = make_plan(config, 1).bytes[workspace];
  config.device = Device::cuda;
  EXPECT_EQ(make_plan(config, 1).bytes[workspace] - cpu, (32 << 20) + 4 * 64 * 12 * (1024 * 64 + 1024));
}

// What a GPU would refuse to train has no plan for a GPU.
TEST(Plan, KeepsTheLimitsOfAGpu) {
  TrainConfig wide = config_of("gpt2_124m", "none"), many = wide;
  wide.model.head_dim = 264;
  many.batch = {65536, 16, 0};
  for (const auto& [config, refusal] :
       {std::pair{&wide, "model: n_embd / n_head: found 264, expected at most 256 on a GPU"},
        {&many, "model: micro_batch: found 65536, expected at most 65535 on a GPU"}}) {
    EXPECT_NO_THROW(make_plan(*config, 1));
    config->device = Device::cuda;
    try {
      make_plan(*config, 1);
      ADD_FAILURE() << "expected: " << refusal;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()), refusal);
    }
  }
}

TEST(Plan, TrafficIsThatOfOneAllReduce) {
  TrainConfig config = config_of("llama_130m", "optimizer");
  const double parameters = 4.0 * static_cast<double>(parameter_table(config.model).count());
  for (int ranks : {2, 8}) {
    const double ideal = 2.0 * (ranks - 1) / ranks * parameters;
    EXPECT_NEAR(sent(make_plan(config, ranks)), ideal, 1e-6 * ideal);
  }
  EXPECT_EQ(sent(make_plan(config, 1)), 0);
  const double ideal = 2.0 * 7 / 8 * parameters;
  EXPECT_NEAR(sent(make_plan(config_of("llama_130m", "gradients"), 8)), ideal, 1e-6 * ideal);

  Plan whole = make_plan(config, 8);
  config.reduce = DType::bf16;
  Plan half = make_plan(config, 8);
  EXPECT_EQ(half.gradient_bytes_sent, whole.gradient_bytes_sent / 2);
  EXPECT_EQ(half.weight_bytes_sent, whole.weight_bytes_sent);
}

// make_plan() runs one of several equal micro-steps and counts it for all, so even 2^30 micro-steps are planned
// quickly.
TEST(Plan, TrafficGrowsByTheSameWithEachMicroStep) {
  for (const char* shard : {"none", "optimizer", "weights"}) {
    TrainConfig config = config_of("llama_tiny", shard);
    std::vector<double> bytes;
    for (int64_t micro_steps : {2, 3, 4, 5, 1 << 30}) {
      config.batch.sequences = 2 * micro_steps;
      bytes.push_back(sent(make_plan(config, 2)));
    }
    EXPECT_EQ(bytes[2] - bytes[1], bytes[3] - bytes[2]) << shard;
    EXPECT_DOUBLE_EQ(bytes[4], bytes[3] + ((1 << 30) - 5) * (bytes[3] - bytes[2])) << shard;
    EXPECT_EQ(std::string(shard) == "weights", bytes[1] > bytes[0]) << shard;
  }
}

TEST(Plan, ShardedWeightsAndGradientsTakeLessMemory) {
  Plan none = make_plan(config_of("llama_350m", "none"), 8), weights = make_plan(config_of("llama_350m", "weights"), 8);
  for (Category category : {Category::weights, Category::gradients}) {
    const auto c = static_cast<size_t>(category);
    EXPECT_LT(weights.bytes[c], none.bytes[c] / 2) << name_of(category);
  }
}

// The expected numbers are counted out.
TEST(Plan, CountsTheCheckpointsThatAreKept) {
  RunConfig run;
  run.steps = 100;
  auto kept = [&](int64_t keep, int64_t every, int64_t keep_every) {
    run.keep = keep, run.checkpoint_every = every, run.keep_every = keep_every;
    return checkpoints_kept(run);
  };
  EXPECT_EQ(kept(3, 0, 0), 1) << "only the end is saved";
  EXPECT_EQ(kept(9, 40, 0), 3) << "40, 80 and 100";
  EXPECT_EQ(kept(1, 0, 10), 10) << "10, 20 ... 100";
  EXPECT_EQ(kept(3, 5, 10), 11) << "90, 95, 100, and 10 ... 80";
  EXPECT_EQ(kept(3, 5, 30), 5) << "90, 95, 100, and 30, 60";
  run.eval_every = 20;
  run.keep_best = true;
  EXPECT_EQ(kept(2, 0, 0), 3) << "80, 100 and the best";
  run.keep_best = false;
  run.checkpoint_seconds = 600;
  EXPECT_EQ(kept(3, 0, 0), 3);
  EXPECT_EQ(kept(3, 0, 10), 12) << "10 ... 100, and at most two others";
  run.steps = 0;
  EXPECT_EQ(kept(3, 0, 1), 1) << "the initial weights";
}

}  // namespace
}  // namespace rowan
