// Compares tiny training runs on CUDA kernels with the same runs on the CPU. The runs accumulate gradients, clip them,
// and validate. A run that is repeated or continues from a checkpoint must give the same bits.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cmath>

#include "comm/transports.h"
#include "golden/golden_files.h"
#include "kernels/backend.h"
#include "small_run.h"
#include "temporary_folder.h"
#include "train/trainer.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

constexpr int64_t steps = 6, checkpoint_at = 3;

struct Case {
  const char *name, *model, *recipe, *precision;
  // loss_tolerance: allowed relative difference of losses; gradient norms may differ ten times as much.
  // weight_tolerance: allowed relative difference of each parameter in the Frobenius norm.
  double loss_tolerance, weight_tolerance;
};

// The head size is 32, so that attention in bf16 runs on tensor cores. Some widths are odd, so that rows are not
// aligned.
Json model_of(const Case& c) {
  if (std::string(c.model) == "llama")
    return {{"model_type", "llama"},    {"hidden_size", 64},
            {"intermediate_size", 85},  {"num_hidden_layers", 2},
            {"num_attention_heads", 2}, {"num_key_value_heads", 1},
            {"vocab_size", 257},        {"max_position_embeddings", 32}};
  return {{"model_type", "gpt2"}, {"n_embd", 64},      {"n_layer", 2},
          {"n_head", 2},          {"n_positions", 32}, {"vocab_size", 257}};
}

struct Outcome {
  std::vector<double> losses, norms;
  double validation = 0;
  std::vector<std::vector<float>> weights;
  std::string model_file, optimizer_file;  // contents of the last checkpoint's files

  bool operator==(const Outcome&) const = default;
};

class TrainingOnCuda : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const std::string shard = folder_ / "tokens.bin";
    write_small_shard(shard, 1001);
    const Json config = {{"model", model_of(GetParam())},
                         {"data", {{"train", shard}, {"validation", shard}}},
                         {"batch", {{"sequences", 4}, {"sequence_length", 20}, {"micro_batch", 2}}},
                         {"optimizer", {{"name", GetParam().recipe}, {"lr", 0.01}}},
                         {"schedule", {{"name", "cosine"}, {"warmup_steps", 2}}},
                         {"grad_clip", 0.5},
                         {"precision", GetParam().precision},
                         {"run", {{"dir", folder_ / "run"}, {"steps", steps}, {"eval_tokens", 80}}}};
    write_file_atomically(folder_ / "config.json", config.dump());
    config_ = load_config(folder_ / "config.json", {});
  }

  // Runs all steps, or only the steps after the checkpoint `from`.
  Outcome run(Backend& backend, const fs::path& from = {}) {
    auto alone = make_single_communicator();
    Trainer trainer(config_, backend, *alone);
    if (!from.empty()) trainer.restore(from);
    Outcome outcome;
    while (trainer.steps_done() < steps) {
      if (trainer.steps_done() == checkpoint_at && from.empty()) trainer.save(Json::object(), {}, [] {});
      const StepResult result = trainer.step();
      outcome.losses.push_back(result.loss);
      outcome.norms.push_back(result.grad_norm);
    }
    outcome.validation = trainer.validate()->mean;
    trainer.save(Json::object(), {}, [] {});
    outcome.model_file = read_file(checkpoint(steps) / "model.safetensors");
    outcome.optimizer_file = read_file(checkpoint(steps) / "optimizer.safetensors");
    names_.clear();
    for (const Parameter& parameter : trainer.model().parameters().parameters()) {
      names_.push_back(parameter.name);
      outcome.weights.emplace_back(parameter.numel());
      trainer.model().get(parameter, outcome.weights.back().data());
    }
    return outcome;
  }
  fs::path checkpoint(int64_t step) const { return folder_ / fmt::format("run/checkpoints/step_{:08}", step); }

  TemporaryFolder folder_;
  std::vector<std::string> names_;
  TrainConfig config_;
};

TEST_P(TrainingOnCuda, MatchesTheCpuAndItself) {
  const Case& c = GetParam();
  auto cuda = make_golden_backend();
  const Outcome first = run(*cuda);
  const fs::path kept = folder_ / "kept";
  fs::rename(checkpoint(checkpoint_at), kept);
  fs::remove_all(folder_ / "run");

  const Outcome continued = run(*cuda, kept);
  EXPECT_EQ(continued.losses, std::vector<double>(first.losses.begin() + checkpoint_at, first.losses.end()));
  EXPECT_EQ(continued.validation, first.validation);
  EXPECT_TRUE(continued.model_file == first.model_file && continued.optimizer_file == first.optimizer_file)
      << "the continued run ends with another checkpoint";
  fs::remove_all(folder_ / "run");
  EXPECT_TRUE(run(*cuda) == first) << "two runs with the same seed differ";
  fs::remove_all(folder_ / "run");

  auto cpu = make_cpu_backend(1);
  const Outcome want = run(*cpu);
  for (size_t i = 0; i < want.losses.size(); ++i) {
    EXPECT_NEAR(first.losses[i] / want.losses[i], 1, c.loss_tolerance) << "loss of step " << i + 1;
    EXPECT_NEAR(first.norms[i] / want.norms[i], 1, 10 * c.loss_tolerance) << "gradient norm of step " << i + 1;
  }
  EXPECT_GT(want.norms[0], config_.grad_clip) << "nothing was clipped";
  EXPECT_NEAR(first.validation / want.validation, 1, c.loss_tolerance);
  for (size_t p = 0; p < want.weights.size(); ++p) {
    // The exact gradient of the key bias is 0. AdamW divides the rounding errors of this gradient by their size, so its
    // steps are not small.
    if (names_[p].ends_with("attn.c_attn.bias")) continue;
    double difference = 0, norm = 0;
    for (size_t i = 0; i < want.weights[p].size(); ++i) {
      difference += std::pow(double{first.weights[p][i]} - want.weights[p][i], 2);
      norm += std::pow(double{want.weights[p][i]}, 2);
    }
    EXPECT_LE(std::sqrt(difference), c.weight_tolerance * std::sqrt(norm)) << names_[p];
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, TrainingOnCuda,
                         testing::Values(Case{"llama_muon_fp32", "llama", "muon", "fp32", 1e-5, 1e-4},
                                         Case{"gpt2_rmnp_fp32", "gpt2", "rmnp", "fp32", 1e-5, 1e-4},
                                         Case{"llama_rmnp_bf16", "llama", "rmnp", "bf16", 1e-2, 5e-2},
                                         Case{"gpt2_muon_bf16", "gpt2", "muon", "bf16", 1e-2, 5e-2}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace rowan
