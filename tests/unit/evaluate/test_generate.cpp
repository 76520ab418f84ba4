#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "evaluate/evaluate.h"
#include "evaluate/generate.h"
#include "kernels/backend.h"
#include "model/weights.h"
#include "run/export.h"
#include "run/predictor.h"
#include "run/run_folder.h"
#include "small_run.h"
#include "tokenizer/tokenizer.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

TEST(Sampling, FollowsTheDistribution) {
  const std::vector<float> logits = {0.0f, std::log(2.0f), std::log(5.0f), -INFINITY};
  std::map<int32_t, int> count;
  const int draws = 20000;
  for (uint64_t i = 0; i < draws; ++i) ++count[sample_token(logits, {.temperature = 1, .seed = 3}, i)];
  EXPECT_NEAR(count[0] / double{draws}, 1.0 / 8, 0.01);
  EXPECT_NEAR(count[1] / double{draws}, 2.0 / 8, 0.012);
  EXPECT_NEAR(count[2] / double{draws}, 5.0 / 8, 0.014);
  EXPECT_EQ(count[3], 0);

  count.clear();
  for (uint64_t i = 0; i < draws; ++i) ++count[sample_token(logits, {.temperature = 0.5, .top_k = 2, .seed = 3}, i)];
  EXPECT_EQ(count[0], 0);
  EXPECT_NEAR(count[1] / double{draws}, 4.0 / 29, 0.01);
}

TEST(Sampling, TemperatureZeroTakesTheLikeliest) {
  const std::vector<float> logits = {1, 3, 3, 2};
  EXPECT_EQ(sample_token(logits, {.temperature = 0}, 7), 1);
  EXPECT_EQ(sample_token(logits, {.temperature = 1, .top_k = 1}, 7), 1);
}

TEST(Sampling, LogitsThatGiveNoProbabilitiesAreRefused) {
  auto error = [](const std::vector<float>& logits, const Sampling& sampling) {
    try {
      sample_token(logits, sampling, 0);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  for (const Sampling& sampling : {Sampling{.temperature = 0}, Sampling{.temperature = 1}, Sampling{.top_k = 1}}) {
    EXPECT_EQ(error({1, NAN}, sampling), "generate: token 1: found NaN as its logit, expected a number");
    EXPECT_EQ(error({INFINITY, 0}, sampling), "generate: token 0: found infinity as its logit, expected a number");
    EXPECT_EQ(error({-INFINITY, -INFINITY}, sampling), "generate: found no token with a finite logit");
    EXPECT_EQ(error({-INFINITY, -3}, sampling), "no error");
  }
}

TEST(Sampling, SameSeedSameText) {
  auto next = [](std::span<const int32_t> tokens) {
    std::vector<float> logits(50);
    for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>((i * tokens.back()) % 7);
    return logits;
  };
  auto text = [&](uint64_t seed) {
    std::vector<int32_t> tokens = {3};
    int calls = 0;
    generate(tokens, 20, 49, {.temperature = 1, .seed = seed}, next, [&] { ++calls; });
    EXPECT_EQ(calls, static_cast<int>(tokens.size()) - 1);
    return tokens;
  };
  EXPECT_EQ(text(1), text(1));
  EXPECT_NE(text(1), text(2));
  std::vector<int32_t> tokens = {1};
  auto end = [](std::span<const int32_t>) { return std::vector<float>{0, 0, 1}; };
  generate(tokens, 5, 2, {.temperature = 0}, end, [] {});
  EXPECT_EQ(tokens.size(), 1u);
}

class RunFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("rowan_run_" + std::to_string(::getpid()));
    backend_ = make_cpu_backend(1);
  }
  void TearDown() override { fs::remove_all(dir_); }

  RunFolder open() {
    return RunFolder(dir_, "newest", [](const std::string& text) { ADD_FAILURE() << text; });
  }

  fs::path dir_;
  std::unique_ptr<Backend> backend_;
};

// A model often has more logits than its tokenizer has ids, because its vocabulary is padded.
TEST_F(RunFolderTest, PredictorLeavesOutPadding) {
  Json padded = small_llama();
  padded["vocab_size"] = 300;
  write_small_run(dir_, padded);
  const auto bytes = make_tokenizer("bytes");
  const std::vector<int32_t> tokens = {1, 2, 3};
  EXPECT_EQ(Predictor(*backend_, open(), 16, bytes.get())(tokens).size(), 257);
  EXPECT_EQ(Predictor(*backend_, open(), 16, nullptr)(tokens).size(), 300);
}

TEST_F(RunFolderTest, PredictorSeesTheLastWindow) {
  write_small_run(dir_, small_llama());
  std::vector<int32_t> tokens = {1, 2, 3, 4, 5};
  Model model(*backend_, model_from(small_llama()), {.batch = 1, .seq = 5, .training = false});
  load_weights(model, open().checkpoint().model());
  Predictor predict(*backend_, open(), 16, nullptr);
  std::vector<float> logits = predict(tokens);
  ASSERT_EQ(logits.size(), 257u);

  Arena memory(*backend_, Category::data);
  Tensor input = memory.take(DType::i32, {5});
  backend_->upload(input, tokens.data());
  model.forward(input);
  const std::vector<float> expected = model.logits(4);
  ASSERT_EQ(expected.size(), 257u);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_FLOAT_EQ(logits[i], expected[i]);

  std::vector<int32_t> longer(40, 7);
  const std::vector<float> whole = predict(longer);
  EXPECT_EQ(predict(std::span(longer).last(16)), whole);
  longer.back() = 257;
  EXPECT_THROW(predict(longer), Error);
}

TEST_F(RunFolderTest, ATextThatGrowsIsTheSameText) {
  for (const Json& model : {small_llama(), small_gpt2()}) {
    write_small_run(dir_, model);
    Predictor grown(*backend_, open(), 16, nullptr);
    auto expect_like_fresh = [&](std::span<const int32_t> text, size_t seen) {
      Predictor fresh(*backend_, open(), 16, nullptr);
      const std::vector<float> a = grown(text), b = fresh(text.last(seen));
      ASSERT_EQ(a.size(), b.size());
      for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-5f) << text.size() << " tokens, logit " << i;
    };
    std::vector<int32_t> text = {1, 2, 3, 4, 5};
    expect_like_fresh(text, 5);
    for (int32_t i = 0; text.size() < 16; ++i) {
      text.push_back(i);
      expect_like_fresh(text, text.size());
    }
    text.push_back(77);
    expect_like_fresh(text, 8);  // the window of 16 was full, so only its last half is kept
    text.insert(text.end(), {20, 21, 22});
    expect_like_fresh(text, 11);
    text[12] = 0;
    expect_like_fresh(text, 16);  // a token that was read has changed, so the last 16 are read again
  }
}

TEST_F(RunFolderTest, MistakesAreNamed) {
  auto message = [&](const fs::path& folder) {
    try {
      RunFolder(folder, "newest", [](const std::string&) {});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(message(dir_ / "absent"),
            (dir_ / "absent").string() + ": found no config.json, expected the folder of a run");
  write_small_run(dir_, small_llama());
  fs::remove_all(dir_ / "checkpoints" / "step_00000001");
  EXPECT_EQ(message(dir_), (dir_ / "checkpoints").string() + ": found no checkpoint");
  write_small_run(dir_, small_llama());
  Json other = small_llama();
  other["hidden_size"] = 32;
  write_file_atomically(dir_ / "config.json", Json({{"model", other}, {"tokenizer", "bytes"}}).dump());
  EXPECT_THROW(Predictor(*backend_, open(), 8, nullptr), Error);
}

TEST(Generate, AnIncompleteCharacterIsNotText) {
  EXPECT_EQ(complete_size(""), 0u);
  EXPECT_EQ(complete_size("a\xC3\xA9"), 3u);
  EXPECT_EQ(complete_size("a\xEF\xBF\xBD\xEF\xBF\xBD"), 1u);
  EXPECT_EQ(complete_size("\xEF\xBF\xBD!"), 4u) << "what follows shows that the byte is not part of a character";
}

TEST_F(RunFolderTest, EvaluationCountsEveryTargetOnce) {
  write_small_run(dir_, small_llama());
  const ModelConfig config = model_from(small_llama());
  DataConfig data;
  data.validation = {(dir_ / "validation.bin").string()};
  auto loss = [&](int64_t batch, int64_t tokens) {
    Model model(*backend_, config, {.batch = batch, .seq = 16, .training = false});
    load_weights(model, open().checkpoint().model());
    const ValidationSet set(data, 16, 257, tokens);
    std::vector<double> sums(static_cast<size_t>(set.rows()));
    for (int rank = 0; rank < 3; ++rank) {
      const std::vector<double> part = row_losses(*backend_, model, set, rank, 3);
      for (size_t row = 0; row < sums.size(); ++row) sums[row] += part[row];
    }
    EXPECT_EQ(sums, row_losses(*backend_, model, set));
    return validation_losses(set, sums);
  };
  const ValidationLosses one = loss(1, INT64_MAX);
  EXPECT_EQ(one.targets, 100);
  for (int64_t batch : {3, 4, 16}) {
    const ValidationLosses other = loss(batch, INT64_MAX);
    EXPECT_EQ(other.targets, 100);
    EXPECT_NEAR(other.mean, one.mean, 1e-5 * one.mean);
  }
  EXPECT_EQ(loss(2, 17).targets, 32);
}

TEST_F(RunFolderTest, ExportsLlamaAsItIs) {
  write_small_run(dir_, small_llama());
  RunFolder run = open();
  export_model(run.model(), run.checkpoint().model(), DType::f32, nullptr, dir_ / "hf");
  SafeTensors exported(dir_ / "hf" / "model.safetensors");
  EXPECT_EQ(exported.metadata().at("format"), "pt");
  for (const StoredTensor& tensor : exported.tensors())
    EXPECT_EQ(read_floats(tensor), read_floats(run.checkpoint().model().find(tensor.name)));
  Json config = Json::parse(read_file(dir_ / "hf" / "config.json"));
  EXPECT_EQ(config["architectures"][0], "LlamaForCausalLM");
  EXPECT_EQ(config["tie_word_embeddings"], false);
}

TEST_F(RunFolderTest, ExportsGpt2AsTransformersKeepsIt) {
  write_small_run(dir_, small_gpt2());
  RunFolder run = open();
  export_model(run.model(), run.checkpoint().model(), DType::f32, nullptr, dir_ / "hf");
  SafeTensors exported(dir_ / "hf" / "model.safetensors");
  const StoredTensor& fused = exported.find("transformer.h.1.attn.c_attn.weight");
  ASSERT_EQ(fused.shape, (std::vector<int64_t>{16, 48}));
  std::vector<float> values = read_floats(fused);
  std::vector<float> k = read_floats(run.checkpoint().model().find("transformer.h.1.attn.k_attn.weight"));
  for (int out = 0; out < 16; ++out)
    for (int in = 0; in < 16; ++in) EXPECT_EQ(values[in * 48 + 16 + out], k[out * 16 + in]);
  EXPECT_EQ(exported.find("transformer.h.0.mlp.c_fc.weight").shape, (std::vector<int64_t>{16, 64}));
  EXPECT_EQ(read_floats(exported.find("transformer.h.0.mlp.c_fc.bias")), std::vector<float>(64));
  EXPECT_EQ(exported.find("transformer.wte.weight").shape, (std::vector<int64_t>{300, 16}));
  EXPECT_FALSE(exported.has("lm_head.weight"));
  Json config = Json::parse(read_file(dir_ / "hf" / "config.json"));
  EXPECT_FALSE(config.contains("bias") || config.contains("split_qkv"));

  ModelConfig clipped = run.model();
  clipped.qk_clip = 8;
  EXPECT_THROW(export_model(clipped, run.checkpoint().model(), DType::f32, nullptr, dir_ / "hf"), Error);
}

}  // namespace
}  // namespace rowan
