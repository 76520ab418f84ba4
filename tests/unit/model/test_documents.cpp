// Tests attention within documents. A packed row must give the same results as its documents one by one. Recomputed
// activations must give the same bits. Also tests the memory that long rows take.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

#include "base/random.h"
#include "kernels/dry/dry_backend.h"
#include "kernels/thread_pool.h"
#include "model/model.h"
#include "paths.h"
#include "small_run.h"

namespace rowan {
namespace {

constexpr int32_t end_token = 3;

struct Passed {
  std::vector<float> losses;
  std::map<std::string, std::vector<double>> gradients;
};

// Runs one row forward and backward through a model with random weights.
Passed pass(const ModelConfig& config, const std::vector<int32_t>& tokens, const std::vector<int32_t>& targets,
            bool documents, Recompute recompute = Recompute::none) {
  auto backend = make_cpu_backend(1);
  ModelOptions options;
  options.seq = static_cast<int64_t>(tokens.size());
  options.recompute = recompute;
  if (documents) options.documents = DocumentOptions{{end_token, true}};
  Model model(*backend, config, options);
  ThreadPool alone(1);
  for (Parameter parameter : model.parameters().parameters()) {  // norms and biases are random, too
    std::vector<float> values(static_cast<size_t>(parameter.numel()));
    parameter.init_std = 0.2;
    initial_values(parameter, 5, 0, parameter.numel(), values.data(), alone);
    model.set(parameter, values.data());
  }
  Arena data(*backend, Category::data);
  Tensor inputs = data.take(DType::i32, {options.seq}), wanted = data.take(DType::i32, {options.seq});
  backend->upload(inputs, tokens.data());
  backend->upload(wanted, targets.data());
  Passed result;
  result.losses.resize(tokens.size());
  backend->download(result.losses.data(), model.loss_and_gradients(inputs, wanted, 1, false));
  for (const Parameter& parameter : model.parameters().parameters()) {
    std::vector<float> values(static_cast<size_t>(parameter.numel()));
    backend->download(values.data(), model.gradient(parameter));
    result.gradients[parameter.name] = {values.begin(), values.end()};
  }
  return result;
}

double norm(const std::vector<double>& x) { return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0)); }

// A row and its targets. Each document of the row has 1 to 300 tokens and starts with the end token.
std::pair<std::vector<int32_t>, std::vector<int32_t>> row_of(int64_t seq) {
  Random random(4, 0);
  std::vector<int32_t> stream;
  while (static_cast<int64_t>(stream.size()) <= seq) {
    stream.push_back(end_token);
    for (uint64_t left = random.below(300); left > 0; --left)
      stream.push_back(4 + static_cast<int32_t>(random.below(45)));
  }
  return {{stream.begin(), stream.begin() + seq}, {stream.begin() + 1, stream.begin() + seq + 1}};
}

class PackedDocuments : public testing::TestWithParam<const char*> {
 protected:
  ModelConfig config() const {
    Json json = GetParam() == std::string("llama") ? small_llama() : small_gpt2();
    json["vocab_size"] = 50;
    json[json["model_type"] == "llama" ? "max_position_embeddings" : "n_positions"] = 8192;
    return model_from(json);
  }
};

TEST_P(PackedDocuments, AreThoseOneByOne) {
  const auto [tokens, targets] = row_of(8192);
  const Passed together = pass(config(), tokens, targets, true);
  std::map<std::string, std::vector<double>> gradients;
  for (size_t begin = 0, end; begin < tokens.size(); begin = end) {
    end = begin + 1;
    while (end < tokens.size() && tokens[end] != end_token) ++end;
    auto part = [&](const auto& all) {
      return std::vector<int32_t>(all.begin() + static_cast<int64_t>(begin), all.begin() + static_cast<int64_t>(end));
    };
    const Passed alone = pass(config(), part(tokens), part(targets), false);
    for (size_t i = begin; i < end; ++i)
      ASSERT_NEAR(together.losses[i] / alone.losses[i - begin], 1, 1e-5) << i << " in the document of " << begin;
    for (const auto& [name, values] : alone.gradients) {
      std::vector<double>& sum = gradients[name];
      sum.resize(values.size());
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
    }
  }
  for (const auto& [name, values] : together.gradients) {
    std::vector<double> difference = gradients.at(name);
    for (size_t i = 0; i < values.size(); ++i) difference[i] -= values[i];
    EXPECT_LT(norm(difference), 1e-5 * norm(values)) << name;
  }
}

TEST_P(PackedDocuments, AreTheSameBitsComputedAgain) {
  const auto [tokens, targets] = row_of(8192);
  const Passed kept = pass(config(), tokens, targets, true);
  for (const Recompute recompute : {Recompute::mlp, Recompute::block}) {
    const Passed again = pass(config(), tokens, targets, true, recompute);
    EXPECT_EQ(again.losses, kept.losses);
    EXPECT_EQ(again.gradients, kept.gradients);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, PackedDocuments, testing::Values("llama", "gpt2"),
                         [](const auto& info) { return std::string(info.param); });

// A row of twice the length takes at most about twice the memory, for every setting of `recompute`. `mlp` takes less
// memory than `none`, and `block` less than `mlp`.
TEST(LongRows, TakeMemoryInLine) {
  const ModelConfig config = load_model(source_path("configs/models/smollm2_135m.json"));
  ModelConfig longer = config;
  longer.positions = 65536;
  auto bytes = [&](int64_t seq, Recompute recompute, bool documents) {
    auto dry = make_dry_backend();
    ModelOptions options;
    options.seq = seq;
    options.recompute = recompute;
    if (documents) options.documents = DocumentOptions{{0, true}};
    Model model(*dry, longer, options);
    Arena data(*dry, Category::data);
    Tensor tokens = data.take(DType::i32, {seq});
    model.loss_and_gradients(tokens, tokens, 1, false);
    return static_cast<double>(dry->peak_bytes(Category::activations) + dry->peak_bytes(Category::workspace));
  };
  for (const bool documents : {false, true}) {
    double before = 1e300;
    for (const Recompute recompute : {Recompute::none, Recompute::mlp, Recompute::block}) {
      const double once = bytes(16384, recompute, documents);
      EXPECT_LT(bytes(32768, recompute, documents), 2.01 * once) << name_of(recompute);
      EXPECT_LT(once, before) << name_of(recompute);
      before = once;
    }
  }
}

}  // namespace
}  // namespace rowan
