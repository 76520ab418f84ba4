// Compares whole training runs with golden files. The runs use the trainer with its data, schedule, clipping and
// optimizer.
#include <gtest/gtest.h>

#include <cmath>

#include "base/files.h"
#include "comm/transports.h"
#include "golden_files.h"
#include "golden_rules.h"
#include "model/weights.h"
#include "temporary_folder.h"
#include "train/trainer.h"

namespace rowan {
namespace {

// The config of the run that a golden case's expect.json describes.
Json config_of_case(const std::filesystem::path& folder, const Json& expect) {
  Json optimizer = config_of(expect["rule"], expect["hyperparameters"]);
  const Json& decay = expect["weight_decay"];
  optimizer["lr"] = expect["matrix_lr"];
  optimizer["weight_decay"] = decay["matrices_and_embeddings"];
  if (optimizer["name"] == "adamw")
    optimizer["vector_weight_decay"] = decay["vectors"];
  else  // in golden runs, torch's AdamW updates the other parameters
    optimizer["adamw"] = {{"lr", expect["adamw_lr"]},
                          {"weight_decay", decay["matrices_and_embeddings"]},
                          {"vector_weight_decay", decay["vectors"]},
                          {"betas", {0.9, 0.95}},
                          {"eps", 1e-8},
                          {"corrected_eps", true},
                          {"corrected_decay", false}};
  const Json& schedule = expect["schedule"];
  return {{"model", expect["model"]},
          {"data", {{"train", (folder / "tokens.bin").string()}, {"order", "sequential"}}},
          {"batch", {{"sequences", expect["batch_sequences"]}, {"sequence_length", expect["seq_len"]}}},
          {"optimizer", optimizer},
          {"schedule",
           {{"name", schedule["kind"]},
            {"warmup_steps", schedule["warmup_steps"]},
            {"min_lr_ratio", schedule["min_lr_ratio"]}}},
          {"grad_clip", expect["grad_clip"]},
          {"run", {{"dir", "unused"}, {"steps", expect["steps"]}}}};
}

class GoldenTrajectories : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(GoldenTrajectories, LossesNormsRatesAndFinalWeights) {
  const std::filesystem::path folder = GetParam();
  const Json expect = parse_json({folder / "expect.json", read_file(folder / "expect.json")});
  const TemporaryFolder scratch;
  const std::string file = scratch / "config.json";
  write_file_atomically(file, config_of_case(folder, expect).dump());
  const TrainConfig config = load_config(file, {});
  auto backend = make_golden_backend();
  auto alone = make_single_communicator();
  Trainer trainer(config, *backend, *alone);
  trainer.load_weights(TensorFiles(folder, "model"));

  for (int64_t step = 0; step < config.run.steps; ++step) {
    StepResult result = trainer.step();
    EXPECT_NEAR(result.loss, expect["losses"][step].get<double>(), 1e-4) << "step " << step;
    EXPECT_NEAR(result.grad_norm / expect["grad_norms"][step].get<double>(), 1, 1e-3) << "step " << step;
    EXPECT_NEAR(result.lr, expect["matrix_lrs"][step].get<double>(), 1e-9) << "step " << step;
  }
  TensorFiles final(folder, "final");
  for (const Parameter& parameter : trainer.model().parameters().parameters()) {
    std::vector<float> got(parameter.numel()), want = read_floats(final.find(parameter.name));
    trainer.model().get(parameter, got.data());
    double difference = 0, norm = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      difference += std::pow(double{got[i]} - want[i], 2);
      norm += std::pow(double{want[i]}, 2);
    }
    EXPECT_LT(std::sqrt(difference / norm), 1e-3) << parameter.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Runs, GoldenTrajectories, testing::ValuesIn(golden_cases("trajectories", "expect.json")),
                         [](const auto& info) {
                           return std::to_string(info.index) + "_" + info.param.filename().string();
                         });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenTrajectories);

TEST(GoldenFiles, OfTrajectories) {
  if (golden_cases("trajectories", "expect.json").empty())
    GTEST_SKIP() << "needs trajectories in the folder named by ROWAN_GOLDEN";
}

}  // namespace
}  // namespace rowan
