// Compares losses and gradients of whole models in fp32 and bf16, and logits in fp32, with golden files. Recomputed
// activations must give the same bits.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "golden_files.h"
#include "golden_model.h"

namespace rowan {
namespace {

double relative_error(const std::vector<float>& got, const std::vector<float>& want) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    difference += std::pow(double{got[i]} - want[i], 2);
    norm += std::pow(double{want[i]}, 2);
  }
  return std::sqrt(difference / (norm + 1e-60));
}

struct Outcome {
  double loss;
  std::vector<std::pair<std::string, double>> gradient_errors;
  double logit_error;
};

Outcome run(const Golden& golden, DType compute, Recompute recompute, bool fp32_residual = false) {
  auto backend = make_golden_backend();
  ModelOptions options;
  options.batch = golden.rows();
  options.seq = golden.sequence_length();
  options.compute = compute;
  options.fp32_residual = fp32_residual;
  options.recompute = recompute;
  options.documents = golden.documents;
  Model model(*backend, golden.config, options);
  golden.load(model);
  const int64_t n = options.batch * options.seq;
  Arena data(*backend, Category::data);
  Tensor tokens = data.take(DType::i32, {n}), targets = data.take(DType::i32, {n});
  const std::vector<int32_t> token_ids = golden.ints("input_ids"), target_ids = golden.ints("targets");
  backend->upload(tokens, token_ids.data());
  backend->upload(targets, target_ids.data());
  const auto counted = n - std::count(target_ids.begin(), target_ids.end(), -100);

  Outcome outcome;
  std::vector<float> losses(n);
  backend->download(losses.data(),
                    model.loss_and_gradients(tokens, targets, 1.0f / static_cast<float>(counted), false));
  outcome.loss = 0;
  for (float loss : losses) outcome.loss += loss / static_cast<double>(counted);
  for (const Parameter& parameter : model.parameters().parameters()) {
    std::vector<float> got(parameter.numel());
    backend->download(got.data(), parameter.in(model.gradients()));
    outcome.gradient_errors.emplace_back(parameter.name,
                                         relative_error(got, read_floats(golden.gradients.find(parameter.name))));
  }
  outcome.logit_error = 0;
  if (golden.batch.has("logits") && compute == DType::f32) {
    std::vector<float> want = read_floats(golden.batch.find("logits")), got;
    model.forward(tokens);
    for (int64_t row = 0; row < n; ++row) {
      const std::vector<float> logits = model.logits(row);
      got.insert(got.end(), logits.begin(), logits.end());
    }
    outcome.logit_error = relative_error(got, want);
  }
  return outcome;
}

class GoldenModels : public testing::TestWithParam<std::filesystem::path> {
 protected:
  Golden golden_ = Golden::open(GetParam());
};

TEST_P(GoldenModels, Fp32MatchesLossLogitsAndEveryGradient) {
  Outcome outcome = run(golden_, DType::f32, Recompute::none);
  EXPECT_NEAR(outcome.loss / golden_.loss, 1, 1e-6);
  EXPECT_LT(outcome.logit_error, 1e-5);
  double largest = 0;
  for (const auto& [name, error] : outcome.gradient_errors) {
    EXPECT_LT(error, 1e-4) << name;
    largest = std::max(largest, error);
  }
  // transformers_round_trip.py reads these properties from the test's report.
  RecordProperty("loss_error", fmt::format("{:.3g}", std::fabs(outcome.loss / golden_.loss - 1)));
  RecordProperty("logit_error", fmt::format("{:.3g}", outcome.logit_error));
  RecordProperty("gradient_error", fmt::format("{:.3g}", largest));
}

TEST_P(GoldenModels, RecomputedActivationsGiveTheSameBits) {
  Outcome kept = run(golden_, DType::f32, Recompute::none);
  for (Recompute recompute : {Recompute::mlp, Recompute::block}) {
    Outcome again = run(golden_, DType::f32, recompute);
    EXPECT_EQ(again.loss, kept.loss);
    EXPECT_EQ(again.gradient_errors, kept.gradient_errors);
  }
}

TEST_P(GoldenModels, Bf16MatchesTheLoss) {
  Outcome outcome = run(golden_, DType::bf16, Recompute::none);
  EXPECT_NEAR(outcome.loss / golden_.loss, 1, 1e-2);
  for (const auto& [name, error] : outcome.gradient_errors) EXPECT_LT(error, 0.1) << name;
}

TEST_P(GoldenModels, Bf16WithAnFp32StreamMatchesTheLoss) {
  Outcome outcome = run(golden_, DType::bf16, Recompute::none, true);
  EXPECT_NEAR(outcome.loss / golden_.loss, 1, 1e-2);
  for (const auto& [name, error] : outcome.gradient_errors) EXPECT_LT(error, 0.1) << name;
  const Outcome again = run(golden_, DType::bf16, Recompute::block, true);
  EXPECT_EQ(again.loss, outcome.loss);
  EXPECT_EQ(again.gradient_errors, outcome.gradient_errors);
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenModels, testing::ValuesIn(golden_models()), [](const auto& info) {
  return std::to_string(info.index) + "_" + info.param.filename().string();
});
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenModels);

TEST(GoldenFiles, NamedFoldersExist) {
  for (const std::filesystem::path& root : named_golden_roots())
    EXPECT_TRUE(std::filesystem::is_directory(root)) << "ROWAN_GOLDEN: found no folder " << root;
}

TEST(GoldenFiles, OfModels) {
  if (golden_models().empty()) GTEST_SKIP() << "needs models in the folder named by ROWAN_GOLDEN";
}

}  // namespace
}  // namespace rowan
