// Loss, logits and every gradient of whole models against float64 results.
#include <gtest/gtest.h>

#include <cmath>

#include "base/safetensors.h"
#include "golden_files.h"
#include "model/model.h"

namespace rowan {
namespace {

struct Golden {
  ModelConfig config;
  SafeTensors weights, batch, gradients;
  double loss;

  static Golden open(const std::filesystem::path& folder) {
    auto read = [&](const char* file) {
      auto source = std::make_shared<JsonSource>(JsonSource{(folder / file).string(), read_file(folder / file)});
      return std::pair{source, parse_json(*source)};
    };
    auto [source, json] = read("config.json");
    auto [expect_source, expect] = read("expect.json");
    return Golden{parse_model(JsonObject(source, json)), SafeTensors(folder / "model.safetensors"),
                  SafeTensors(folder / "batch.safetensors"), SafeTensors(folder / "grads.safetensors"),
                  expect["loss"].get<double>()};
  }
};

std::vector<int32_t> ints(const StoredTensor& tensor) {
  auto* values = reinterpret_cast<const int32_t*>(tensor.data);
  return {values, values + tensor.numel()};
}

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

Outcome run(const Golden& golden, DType compute, Recompute recompute) {
  auto backend = make_golden_backend();
  const StoredTensor& ids = golden.batch.find("input_ids");
  ModelOptions options;
  options.batch = ids.shape[0];
  options.seq = ids.shape[1];
  options.compute = compute;
  options.recompute = recompute;
  Model model(*backend, golden.config, options);
  for (const Parameter& parameter : model.parameters().parameters()) {
    const StoredTensor& stored = golden.weights.find(parameter.name);
    EXPECT_EQ(stored.shape, parameter.shape) << parameter.name;
    model.set(parameter, read_floats(stored).data());
  }
  const int64_t n = options.batch * options.seq;
  Arena data(*backend, Category::data);
  Tensor tokens = data.take(DType::i32, {n}), targets = data.take(DType::i32, {n});
  std::vector<int32_t> target_ids = ints(golden.batch.find("targets"));
  backend->upload(tokens, ints(ids).data());
  backend->upload(targets, target_ids.data());
  const auto counted = n - std::count(target_ids.begin(), target_ids.end(), -100);

  Outcome outcome;
  std::vector<float> losses(n);
  model.zero_gradients();
  backend->download(losses.data(), model.loss_and_gradients(tokens, targets, 1.0f / static_cast<float>(counted)));
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

class GoldenModels : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(GoldenModels, Fp32MatchesLossLogitsAndEveryGradient) {
  Golden golden = Golden::open(GetParam());
  Outcome outcome = run(golden, DType::f32, Recompute::none);
  EXPECT_NEAR(outcome.loss / golden.loss, 1, 1e-6);
  EXPECT_LT(outcome.logit_error, 1e-5);
  for (const auto& [name, error] : outcome.gradient_errors) EXPECT_LT(error, 1e-4) << name;
}

TEST_P(GoldenModels, RecomputedActivationsGiveTheSameBits) {
  Golden golden = Golden::open(GetParam());
  Outcome kept = run(golden, DType::f32, Recompute::none);
  for (Recompute recompute : {Recompute::mlp, Recompute::block}) {
    Outcome again = run(golden, DType::f32, recompute);
    EXPECT_EQ(again.loss, kept.loss);
    EXPECT_EQ(again.gradient_errors, kept.gradient_errors);
  }
}

TEST_P(GoldenModels, Bf16MatchesTheLoss) {
  Golden golden = Golden::open(GetParam());
  Outcome outcome = run(golden, DType::bf16, Recompute::none);
  EXPECT_NEAR(outcome.loss / golden.loss, 1, 1e-2);
  for (const auto& [name, error] : outcome.gradient_errors) EXPECT_LT(error, 0.1) << name;
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenModels, testing::ValuesIn(golden_cases("models", "expect.json")),
                         [](const auto& info) {
                           return std::to_string(info.index) + "_" + info.param.filename().string();
                         });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenModels);

}  // namespace
}  // namespace rowan
