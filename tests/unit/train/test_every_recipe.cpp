// Tests what a run needs from every recipe. A run that continues from a checkpoint must give the same bits as a run
// that was not stopped. Telemetry must not change the weights.
#include <gtest/gtest.h>

#include <cmath>

#include "comm/transports.h"
#include "kernels/backend.h"
#include "optim/recipe.h"
#include "optim/recipes.h"
#include "small_run.h"
#include "temporary_folder.h"
#include "train/trainer.h"

namespace rowan {
namespace {

constexpr int saved_at = 3, last = 6;

// Preconditioners are updated more often than by default, so that a short run includes updates.
Json small_steps(Json optimizer) {
  const Recipe recipe = named_recipe(optimizer["name"].get<std::string>());
  if (recipe.precondition != Precondition::none || recipe.shampoo) optimizer["precondition_frequency"] = 2;
  if (recipe.shampoo) optimizer["shampoo_start"] = 2;
  return optimizer;
}

TrainConfig run_config(const TemporaryFolder& folder, const Json& optimizer) {
  Json model = small_llama();
  model["num_hidden_layers"] = 1;
  const Json config = {{"model", model},
                       {"data", {{"train", folder / "train.bin"}}},
                       {"batch", {{"sequences", 2}, {"sequence_length", 8}}},
                       {"optimizer", small_steps(optimizer)},
                       {"precision", "fp32"},
                       {"run", {{"dir", folder / "run"}, {"steps", last}}}};
  return load_config(folder.write("config.json", config.dump()), {});
}

std::vector<float> weights_of(const Trainer& trainer) {
  std::vector<float> all;
  for (const Parameter& parameter : trainer.model().parameters().parameters()) {
    std::vector<float> values(static_cast<size_t>(parameter.numel()));
    trainer.model().get(parameter, values.data());
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

void train(Trainer& trainer, int until) {
  while (trainer.steps_done() < until) trainer.step();
}

std::vector<Json> every_optimizer() {
  std::vector<Json> all = {
      {{"name", "soap"}, {"precondition_state", "bf16"}, {"blocks", "heads"}},
      {{"name", "soap"}, {"one_sided", true}, {"state", "bf16"}},
      {{"name", "kl-soap"}, {"precondition_state", "bf16"}},
      {{"name", "shampoo"}, {"precondition_state", "bf16"}, {"one_sided", true}, {"shampoo_exponent", -0.5}},
      {{"name", "nanochat"}, {"blocks", "pairs"}}};
  for (const std::string& name : recipe_names()) all.push_back({{"name", name}});
  return all;
}

TEST(EveryRecipe, GoesOnBitForBit) {
  const TemporaryFolder folder;
  write_small_shard(folder / "train.bin", 500);
  auto backend = make_cpu_backend(1);
  auto alone = make_single_communicator();
  for (const Json& optimizer : every_optimizer()) {
    SCOPED_TRACE(optimizer.dump());
    const TrainConfig config = run_config(folder, optimizer);
    Trainer whole(config, *backend, *alone);
    train(whole, saved_at);
    ASSERT_EQ(whole.save(Json::object(), {}, [] {}), "") << "ruined";
    train(whole, last);
    Trainer resumed(config, *backend, *alone);
    resumed.restore(checkpoint_path(std::filesystem::path(config.run.dir) / "checkpoints", saved_at));
    train(resumed, last);
    EXPECT_EQ(weights_of(resumed), weights_of(whole));
    for (float weight : weights_of(whole)) ASSERT_TRUE(std::isfinite(weight));
  }
}

TEST(EveryRecipe, HasTelemetryThatChangesNothing) {
  const TemporaryFolder folder;
  write_small_shard(folder / "train.bin", 500);
  auto backend = make_cpu_backend(1);
  auto alone = make_single_communicator();
  for (Json optimizer : every_optimizer()) {
    SCOPED_TRACE(optimizer.dump());
    const TrainConfig plain = run_config(folder, optimizer);
    optimizer["telemetry_every"] = 1;
    const TrainConfig watched = run_config(folder, optimizer);
    Trainer unwatched(plain, *backend, *alone), trainer(watched, *backend, *alone);
    train(unwatched, 2);
    train(trainer, 2);
    EXPECT_EQ(weights_of(trainer), weights_of(unwatched));
    std::map<std::string, double> figures;
    for (const Metric& metric : trainer.optimizer().telemetry()) figures[metric.name] = metric.value;
    EXPECT_EQ(figures.contains("mean/stable_rank"), !watched.optimizer.main().adamw);
    for (const auto& [name, value] : figures) EXPECT_FALSE(std::isnan(value)) << name;
    if (optimizer.contains("blocks")) {
      EXPECT_TRUE(figures.contains("model.layers.0.self_attn.q_proj.weight/stable_rank"));
      EXPECT_TRUE(figures.contains("model.layers.0.self_attn.o_proj.weight/stable_rank"));
    }
  }
}

}  // namespace
}  // namespace rowan
