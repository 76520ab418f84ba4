// Tests weights from files. An export must have the same bits when it is read back. Published files must be read in all
// their layouts. Errors must name what does not match.
#include <gtest/gtest.h>

#include <cstring>

#include "comm/communicator.h"
#include "comm/transports.h"
#include "error_of.h"
#include "model/weights.h"
#include "run/export.h"
#include "small_run.h"
#include "temporary_folder.h"
#include "train/initial_weights.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

using Tensors = std::map<std::string, std::pair<std::vector<int64_t>, std::vector<float>>>;

Tensors tensors_in(const fs::path& file) {
  Tensors result;
  const SafeTensors stored(file);
  for (const StoredTensor& tensor : stored.tensors()) result[tensor.name] = {tensor.shape, read_floats(tensor)};
  return result;
}

void write(const fs::path& file, const Tensors& tensors) {
  std::vector<TensorInfo> declared;
  for (const auto& [name, tensor] : tensors) declared.push_back({name, "F32", tensor.first});
  SafeTensorsWriter writer(file, declared);
  for (const auto& [name, tensor] : tensors) writer.write(name, tensor.second.data());
  writer.commit();
}

Json with(Json model, const Json& more) {
  model.update(more);
  return model;
}

class Weights : public ::testing::Test {
 protected:
  // Makes a run of `model` with random weights, and its export in hf/.
  void make(const Json& model) {
    config_ = model_from(model);
    write_small_run(run(), model);
    export_model(config_, TensorFiles(checkpoint(), "model"), DType::f32, nullptr, hf());
  }
  fs::path run() const { return dir_ / "run"; }
  fs::path checkpoint() const { return run() / "checkpoints/step_00000001"; }
  fs::path hf() const { return dir_ / "hf"; }
  fs::path file() const { return hf() / "model.safetensors"; }

  // Expects that reading `files` gives the same bits as the checkpoint of the run.
  void expect_those_of_the_run(const TensorFiles& files) {
    const ModelWeights weights(config_, files);
    const Tensors want = tensors_in(checkpoint() / "model.safetensors");
    const ParameterTable table = parameter_table(config_);
    ASSERT_EQ(table.parameters().size(), want.size());
    for (const Parameter& parameter : table.parameters()) {
      const std::vector<float> got = weights.read(parameter), &values = want.at(parameter.name).second;
      ASSERT_EQ(got.size(), values.size()) << parameter.name;
      EXPECT_EQ(std::memcmp(got.data(), values.data(), got.size() * sizeof(float)), 0) << parameter.name;
    }
  }
  // Applies `change` to a copy of the tensors of hf/. Returns the error message of reading the copy.
  std::string error_with(const std::function<void(Tensors&)>& change) {
    Tensors tensors = tensors_in(file());
    change(tensors);
    write(dir_ / "changed.safetensors", tensors);
    const std::string error = error_of([&] { ModelWeights(config_, TensorFiles(dir_ / "changed.safetensors")); });
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    const std::string name = (dir_ / "changed.safetensors") + ": ";
    EXPECT_EQ(error.substr(0, name.size()), name) << error;
    return error.substr(std::min(error.size(), name.size()));
  }
  std::string found(const fs::path& init) {
    return find_initial_weights(init.string(), config_, [](const std::string& text) { ADD_FAILURE() << text; });
  }

  TemporaryFolder dir_;
  ModelConfig config_;
};

TEST_F(Weights, ExportReadsBackBitForBit) {
  for (const Json& model :
       {small_gpt2(), with(small_gpt2(), {{"split_qkv", false}}), with(small_gpt2(), {{"bias", true}}),
        with(small_gpt2(), {{"bias", true}, {"split_qkv", false}, {"tie_word_embeddings", false}}), small_llama(),
        with(small_llama(), {{"tie_word_embeddings", true}, {"num_key_value_heads", 4}}),
        with(small_llama(), {{"attention_bias", true}, {"mlp_bias", true}, {"head_dim", 6}}),
        with(small_llama(), {{"qk_norm", "rms_gain"}, {"attention_bias", true}}),
        with(small_llama(), {{"hidden_act", "relu2"}}),
        with(small_llama(), {{"hidden_act", "relu2"}, {"qk_norm", "rms_gain"}})}) {
    SCOPED_TRACE(model.dump());
    make(model);
    const auto here = function_keys(config_), there = function_keys(load_model((hf() / "config.json").string()));
    EXPECT_EQ(there, here) << "the export computes the same function";
    expect_those_of_the_run(TensorFiles(hf(), "model"));
    expect_those_of_the_run(TensorFiles(checkpoint(), "model"));
  }
}

TEST_F(Weights, ALlamaWithGainsOfHeadsIsAQwen3) {
  make(with(small_llama(),
            {{"qk_norm", "rms_gain"}, {"initialization", {{{"roles", {"head"}}, {"distribution", "zero"}}}}}));
  const Json config = Json::parse(read_file(hf() / "config.json"));
  EXPECT_EQ(config["model_type"], "qwen3");
  EXPECT_EQ(config["architectures"][0], "Qwen3ForCausalLM");
  EXPECT_EQ(config["head_dim"], 4);
  EXPECT_FALSE(config.contains("qk_norm") || config.contains("initialization"));
  config_ = load_model((hf() / "config.json").string());
  EXPECT_EQ(found(hf()), file());
  expect_those_of_the_run(TensorFiles(hf(), "model"));
}

// A published config describes the published weights and names ids of the published tokenizer.
TEST_F(Weights, AnExportHasItsOwnDtypeAndIds) {
  make(with(small_llama(), {{"dtype", "bfloat16"},
                            {"torch_dtype", "float16"},
                            {"bos_token_id", 256},
                            {"eos_token_id", {257, 3}},
                            {"pad_token_id", 128004},
                            {"sep_token_id", -1},
                            {"decoder_start_token_id", nullptr},
                            {"bad_words_ids", {{1, 2}, {400}}},
                            {"suppress_tokens", {5, 6}},
                            {"use_cache", true}}));
  const Json config = Json::parse(read_file(hf() / "config.json"));
  EXPECT_FALSE(config.contains("dtype")) << "transformers would take it instead of torch_dtype";
  EXPECT_EQ(config["torch_dtype"], "float32");
  for (const char* key : {"eos_token_id", "pad_token_id", "sep_token_id", "bad_words_ids"})
    EXPECT_FALSE(config.contains(key)) << key;
  EXPECT_EQ(config["bos_token_id"], 256);
  EXPECT_EQ(config["suppress_tokens"], Json({5, 6}));
  EXPECT_EQ(config["use_cache"], true);
  EXPECT_EQ(Json::parse(read_file(hf() / "generation_config.json")),
            Json({{"do_sample", true}, {"bos_token_id", 256}}));
}

// Such as a published GPT-2's config, and llm.c's shards, which name no tokenizer.
TEST_F(Weights, WithoutATokenizerGenerationEndsWhereTheConfigSays) {
  make(with(small_llama(), {{"bos_token_id", 3}, {"eos_token_id", {256, 4}}}));
  const Json generation = Json::parse(read_file(hf() / "generation_config.json"));
  EXPECT_EQ(generation, Json({{"do_sample", true}, {"bos_token_id", 3}, {"eos_token_id", {256, 4}}}));
}

TEST_F(Weights, WhatTransformersHasNoModelOfIsNotExported) {
  for (const Json& more :
       {Json{{"embedding_norm", true}}, Json{{"head_bias", true}}, Json{{"qk_norm", "rms"}}, Json{{"gated_mlp", false}},
        Json{{"attention_scale", 0.5}}, Json{{"logit_softcap", 15}}, Json{{"rope_fraction", 0.5}},
        Json{{"rope_frequencies", "endpoint"}}, Json{{"rope_direction", -1}}}) {
    const std::string key = more.begin().key(), error = error_of([&] { make(with(small_llama(), more)); });
    EXPECT_EQ(error.find("export: found " + key + " "), 0u) << key << ": " << error;
    EXPECT_NE(error.find(", which no model of Hugging Face transformers has"), std::string::npos) << error;
    EXPECT_FALSE(fs::exists(hf()));
  }
}

TEST_F(Weights, PublishedNamesAndBuffersAreRead) {
  for (const Json& model :
       {with(small_gpt2(), {{"bias", true}}), with(small_llama(), {{"tie_word_embeddings", true}})}) {
    SCOPED_TRACE(model.dump());
    make(model);
    const std::string prefix = config_.family == Family::gpt2 ? "transformer." : "model.";
    Tensors published;
    for (const auto& [name, tensor] : tensors_in(file())) published[name.substr(prefix.size())] = tensor;
    for (const std::string layer : {"0", "1"}) {
      if (config_.family == Family::gpt2) {
        published["h." + layer + ".attn.bias"] = {{1, 1, 2, 2}, {1, 0, 1, 1}};
        published["h." + layer + ".attn.masked_bias"] = {{}, {-1e4f}};
      } else {
        published["layers." + layer + ".self_attn.rotary_emb.inv_freq"] = {{2}, {1, 0.01f}};
      }
    }
    write(dir_ / "published.safetensors", published);
    expect_those_of_the_run(TensorFiles(dir_ / "published.safetensors"));
    // Some published files store the head although it is tied to the embedding.
    const std::string embedding = config_.family == Family::gpt2 ? "wte.weight" : "embed_tokens.weight";
    published["lm_head.weight"] = published[embedding];
    write(dir_ / "published.safetensors", published);
    expect_those_of_the_run(TensorFiles(dir_ / "published.safetensors"));
    // Others store only the head, for example those of safetensors' save_model().
    published.erase(embedding);
    write(dir_ / "published.safetensors", published);
    expect_those_of_the_run(TensorFiles(dir_ / "published.safetensors"));
  }
}

TEST_F(Weights, NoBiasesAreBiasesOfZero) {
  make(small_gpt2());
  const TensorFiles files(checkpoint(), "model");
  const ModelConfig biased = model_from(with(small_gpt2(), {{"bias", true}, {"split_qkv", false}}));
  const ModelWeights weights(biased, files);
  const ParameterTable table = parameter_table(biased);
  EXPECT_EQ(weights.read(table.find("transformer.h.1.attn.c_attn.bias")), std::vector<float>(48));
  const Parameter& joined = table.find("transformer.h.1.attn.c_attn.weight");
  const std::vector<float> k = read_floats(files.find("transformer.h.1.attn.k_attn.weight")),
                           all = weights.read(joined);
  EXPECT_TRUE(std::equal(k.begin(), k.end(), all.begin() + 256));
}

TEST_F(Weights, WhatDoesNotFitIsNamed) {
  make(with(small_gpt2(), {{"split_qkv", false}}));
  EXPECT_EQ(error_with([](Tensors& t) { t.erase("transformer.h.1.ln_2.weight"); }),
            "found no tensor 'transformer.h.1.ln_2.weight', expected one of shape [16]: weights of another model");
  EXPECT_EQ(error_with([](Tensors& t) {
              t["transformer.h.1.mlp.c_fc.weight"].first = {64, 16};
            }),
            "tensor 'transformer.h.1.mlp.c_fc.weight': found F32[64, 16], expected [16, 64]: weights of another model");
  EXPECT_EQ(error_with([](Tensors& t) {
              t["h.2.ln_1.weight"] = {{2}, {1, 1}};
            }),
            "found tensor 'h.2.ln_1.weight', F32[2], which this model lacks: weights of another model");
  EXPECT_EQ(error_with([](Tensors& t) { t["wpe.weight"] = t["transformer.wpe.weight"]; }),
            "found both 'transformer.wpe.weight' and 'wpe.weight', expected one of them");
  EXPECT_EQ(error_with([](Tensors& t) { t["transformer.h.0.ln_1.bias"].second[3] = 1e-30f; }),
            "tensor 'transformer.h.0.ln_1.bias': found values other than 0, but this model has no biases");
  EXPECT_EQ(
      error_with([](Tensors& t) { (t["lm_head.weight"] = t["transformer.wte.weight"]).second[7] += 1; }),
      "tensor 'lm_head.weight': found other values than in 'transformer.wte.weight', but this model ties the two");
  config_.tied = false;
  EXPECT_EQ(error_with([](Tensors&) {}),
            "found no tensor 'lm_head.weight', expected one of shape [300, 16]: weights of another model");

  write_safetensors_index(dir_ / "", "none", {});
  EXPECT_NE(
      error_of([&] { ModelWeights(config_, TensorFiles(dir_ / "", "none")); }).find("index.json: found no tensor"),
      std::string::npos);
  SafeTensorsWriter writer(dir_ / "ints.safetensors", {{"model.embed_tokens.weight", "I32", {257, 16}}});
  writer.write("model.embed_tokens.weight", std::vector<int32_t>(257 * 16).data());
  writer.commit();
  const ModelConfig llama = model_from(small_llama());
  EXPECT_NE(error_of([&] {
              ModelWeights(llama, TensorFiles(dir_ / "ints.safetensors"));
            }).find("ints.safetensors: found no "),
            std::string::npos);
}

TEST_F(Weights, InitIsAFileAFolderOrARun) {
  make(small_llama());
  EXPECT_EQ(found(file()), file());
  EXPECT_EQ(found(hf()), file());
  EXPECT_EQ(found(checkpoint()), checkpoint() / "model.safetensors");
  EXPECT_EQ(found(run()), checkpoint() / "model.safetensors");
  fs::create_directories(dir_ / "several");
  write(dir_ / "several/model-00001-of-00001.safetensors", {{"a", {{1}, {7}}}});
  write_safetensors_index(dir_ / "several", "model", {{"a", "model-00001-of-00001.safetensors"}});
  EXPECT_EQ(found(dir_ / "several"), dir_ / "several/model.safetensors.index.json");
  EXPECT_EQ(read_floats(TensorFiles(fs::path(found(dir_ / "several"))).find("a")), std::vector<float>{7});

  auto error = [&](const fs::path& init) { return error_of([&] { found(init); }); };
  EXPECT_EQ(error(dir_ / "none"), "init: " + (dir_ / "none") + ": no such file or folder");
  EXPECT_NE(error(dir_.write("gpt2_124M.bin", "")).find("gpt2_124M.bin: expected a .safetensors"), std::string::npos);
  fs::create_directories(dir_ / "empty/checkpoints");
  EXPECT_NE(error(dir_ / "empty").find("empty: found no checkpoint"), std::string::npos);
  EXPECT_NE(error(dir_ / "empty/checkpoints").find("neither model.safetensors nor"), std::string::npos);
  std::string bytes = read_file(checkpoint() / "model.safetensors");
  bytes.back() ^= 1;
  write_file_atomically(checkpoint() / "model.safetensors", bytes);
  EXPECT_NE(error(checkpoint()).find("damaged: wrong checksum"), std::string::npos);
}

// While the start is told that it skips the damaged step 3, the run saves step 4 and removes step 2.
TEST_F(Weights, InitOfARunThatRotatesTakesANewerCheckpoint) {
  make(small_llama());
  const fs::path folder = run() / "checkpoints";
  for (int64_t step : {2, 3}) write_small_run(run(), small_llama(), 5, step);
  std::string bytes = read_file(checkpoint_path(folder, 3) / "model.safetensors");
  bytes.back() ^= 1;
  write_file_atomically(checkpoint_path(folder, 3) / "model.safetensors", bytes);
  int notes = 0;
  auto rotate = [&](const std::string&) {
    if (notes++ > 0) return;
    write_small_run(run(), small_llama(), 5, 4);
    fs::remove_all(checkpoint_path(folder, 2));
  };
  EXPECT_EQ(find_initial_weights(run().string(), config_, rotate), checkpoint_path(folder, 4) / "model.safetensors");
  EXPECT_EQ(notes, 1);
  const auto alone = make_single_communicator();
  const auto opened = open_initial_weights(*alone, run().string(), config_, rotate);
  EXPECT_EQ(opened->file, checkpoint_path(folder, 4) / "model.safetensors");
  const std::vector<float> want = read_floats(SafeTensors(opened->file).find("model.norm.weight"));
  fs::remove_all(folder);
  EXPECT_EQ(read_floats(opened->tensors.find("model.norm.weight")), want) << "open weights need no file";
}

// Two models whose weights have the same shapes may compute different functions.
TEST_F(Weights, AnotherFunctionOfTheSameShapesIsRefused) {
  make(small_llama());
  auto differs = [&](const Json& more, const std::string& part) {
    config_ = model_from(with(small_llama(), more));
    for (const fs::path& init : {hf(), run(), checkpoint()}) {
      const std::string error = error_of([&] { found(init); });
      EXPECT_NE(error.find("config.json: " + part + " as in this run's model; to use"), std::string::npos) << error;
    }
    EXPECT_EQ(found(file()), file());
  };
  differs({{"rope_theta", 500000}}, "rope_theta: found 10000, expected 500000");
  differs({{"num_attention_heads", 8}, {"num_key_value_heads", 4}}, "the number of heads: found 4, expected 8");
  differs({{"rms_norm_eps", 1e-5}}, "the norm's epsilon: found 1e-06, expected 1e-05");
  differs({{"qk_norm", "rms"}}, "qk_norm: found none, expected rms");
  differs({{"attention_scale", 0.5}}, "attention_scale: found 0, expected 0.5");
  differs({{"logit_softcap", 15}}, "logit_softcap: found 0, expected 15");
  differs({{"rope_direction", -1}}, "rope_direction: found 1, expected -1");
  config_ = model_from(small_gpt2());
  EXPECT_NE(error_of([&] { found(hf()); }).find("model_type: found \"llama\", expected \"gpt2\""), std::string::npos);
  config_ = model_from(with(small_llama(), {{"rms_norm_eps", 1e-6}, {"rope_parameters", {{"rope_theta", 1e4}}}}));
  EXPECT_EQ(found(hf()), file());  // the same config, written differently
  Json scaled = Json::parse(read_file(hf() / "config.json"));
  scaled["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 2.0}};
  scaled["transformers.js_config"] = 3;  // a key that Rowan ignores
  write_file_atomically(hf() / "config.json", scaled.dump());
  EXPECT_NE(error_of([&] { found(hf()); }).find("config.json:1: rope_scaling.rope_type: "), std::string::npos);
  scaled.erase("rope_scaling");
  const Json unlike = {{"partial_rotary_factor", 0.5},
                       {"use_sliding_window", true},
                       {"use_mrope", true},
                       {"layer_types", {"full_attention", "sliding_attention"}}};
  for (const auto& [key, value] : unlike.items()) {
    Json other = scaled;
    other[key] = value;
    write_file_atomically(hf() / "config.json", other.dump());
    EXPECT_NE(error_of([&] { found(hf()); }).find("config.json:1: " + key + ": "), std::string::npos) << key;
  }
}

}  // namespace
}  // namespace rowan
