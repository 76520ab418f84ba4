#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "model/layout.h"
#include "model/model.h"
#include "paths.h"
#include "shared_files.h"

namespace rowan {
namespace {

ModelConfig parse(const std::string& text) {
  auto source = std::make_shared<JsonSource>(JsonSource{"model.json", text});
  Json json = parse_json(*source);
  return parse_model(JsonObject(source, json));
}

std::string config_error(const std::string& text) {
  try {
    parse(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

struct Published {
  const char* name;
  int64_t parameters;  // all of them
  int64_t matrices;    // two-dimensional ones inside the blocks; 0: not published
};

class PublishedSizes : public testing::TestWithParam<Published> {};

TEST_P(PublishedSizes, AreMatchedExactly) {
  ModelConfig config = parse(read_file(source_path(std::string("configs/models/") + GetParam().name + ".json")));
  ParameterTable table = parameter_table(config);
  EXPECT_EQ(table.count(), GetParam().parameters);
  if (GetParam().matrices) {
    EXPECT_EQ(table.count(Role::matrix), GetParam().matrices);
  }
}

// GaLore's configs, RMNP's "350m", SmolLM2's and GPT-2's released configs.
INSTANTIATE_TEST_SUITE_P(Models, PublishedSizes,
                         testing::Values(Published{"llama_60m", 58'073'600, 25'296'896},
                                         Published{"llama_130m", 134'105'856, 84'934'656},
                                         Published{"llama_350m", 367'969'280, 302'383'104},
                                         Published{"llama_1b", 1'339'082'752, 1'207'910'400},
                                         Published{"llama_350m_rmnp", 271'090'688, 205'520'896},
                                         Published{"smollm2_135m", 134'515'008, 106'168'320},
                                         Published{"smollm2_360m", 361'821'120, 0},
                                         Published{"gpt2_124m", 124'439'808, 0}, Published{"gpt2_355m", 354'823'168, 0},
                                         Published{"gpt2_774m", 774'030'080, 0}),
                         [](const auto& info) { return std::string(info.param.name); });

const char* const tiny = R"({"model_type": "llama", "hidden_size": 32, "intermediate_size": 64,
  "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100)";

TEST(ModelConfigErrors, NameTheFieldAndTheNearestKey) {
  EXPECT_EQ(config_error(std::string(tiny) + ",\n \"rms_norm_esp\": 1e-5}").substr(0, 64),
            "model.json:3: rms_norm_esp: unknown key 'rms_norm_esp'; did you ");
  EXPECT_NE(
      config_error(std::string(tiny) + R"(, "num_key_value_heads": 3})").find("3 key/value heads do not divide 4"),
      std::string::npos);
  EXPECT_NE(config_error(std::string(tiny) + R"(, "rope_scaling": {"type": "linear"}})").find("rope_scaling"),
            std::string::npos);
  EXPECT_NE(config_error(std::string(tiny) + R"(, "hidden_act": "gelu"})").find("allowed: silu"), std::string::npos);
  EXPECT_NE(
      config_error(R"({"model_type": "gpt2", "n_embd": 33, "n_layer": 2, "n_head": 4})").find("4 heads do not divide"),
      std::string::npos);
  EXPECT_NE(config_error(R"({"model_type": "gpt3"})").find("did you mean 'gpt2'"), std::string::npos);
}

// What the files of the hubs hold beside the model.
TEST(ModelConfig, ReadsPublishedFilesAsTheyAre) {
  for (const char* key :
       {R"("head_dim": null)", R"("rope_scaling": null)", R"("rope_scaling": {"rope_type": "default"})",
        R"("sliding_window": null)", R"("num_key_value_heads": null)", R"("attention_dropout": null)",
        R"("transformers.js_config": {"dtype": "q4"})", R"("_attn_implementation_autoset": true)",
        R"("id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0})", R"("add_cross_attention": false)",
        R"("is_encoder_decoder": false)", R"("is_decoder": true)", R"("pruned_heads": {})",
        R"("partial_rotary_factor": 1.0)",
        R"("bad_words_ids": null, "do_sample": false, "temperature": 0.6, "top_p": 0.9, "max_length": 4096)",
        R"("eos_token_id": [128001, 128008])", R"("layer_types": ["full_attention", "full_attention"])",
        R"("rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "factor": null})",
        R"("unsloth_version": "2024.9", "tokenizer_class": "LlamaTokenizer", "_commit_hash": "0123")"}) {
    const std::string text = std::string(tiny) + ", " + key + "}";
    ASSERT_EQ(config_error(text), "") << key;
    const ModelConfig config = parse(text);
    EXPECT_EQ(config.head_dim, 8) << key;
    EXPECT_EQ(config.kv_heads, 4) << key;
    EXPECT_EQ(config.rope_theta, 10000) << key;
  }
  EXPECT_EQ(config_error(R"({"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": null,
      "summary_type": "cls_index", "task_specific_params": {"text-generation": {"do_sample": true}}})"),
            "");
  EXPECT_NE(config_error(std::string(tiny) + R"(, "vocab_size_": null, "hidden_act": null, "num_hidden_layer": 3})")
                .find("unknown key 'num_hidden_layer'"),
            std::string::npos);
}

TEST(ModelConfig, RefusesWhatWouldBeAnotherModel) {
  for (const char* key :
       {R"("add_cross_attention": true)", R"("is_encoder_decoder": true)", R"("pruned_heads": {"0": [1]})",
        R"("partial_rotary_factor": 0.5)", R"("resid_pdrop": 0.1)", R"("layer_types": ["sliding_attention"])",
        R"("sliding_window": 4096)", R"("quantization_config": {"bits": 4})",
        R"("rope_scaling": {"rope_type": "llama3"})", R"("auto_map": {"AutoModelForCausalLM": "modeling.Other"})"}) {
    const std::string text = std::string(tiny) + ", " + key + "}";
    const std::string name = std::string(key).substr(1, std::string(key).find('"', 1) - 1);
    EXPECT_NE(config_error(text).find(name), std::string::npos) << key << ": " << config_error(text);
  }
}

TEST(ModelConfig, ReadsTheCasesOfTheHubs) {
  ROWAN_SHARED_OR_SKIP(folder, "cases");
  for (const char* name : {"config_transformers_js.json", "config_head_dim_null.json"}) {
    const ModelConfig config = load_model((folder / name).string());
    EXPECT_EQ(config.head_dim, 64) << name;
    EXPECT_EQ(parameter_table(config).count(), 134'515'008) << name;  // SmolLM2 135M
  }
}

TEST(TrainingFlops, AreSixAWeightAndTwelveAScoreColumn) {
  for (const auto& entry : std::filesystem::directory_iterator(source_path("configs/models"))) {
    const ModelConfig config = load_model(entry.path().string());
    const ParameterTable table = parameter_table(config);
    const int64_t seq = std::min<int64_t>(config.positions, 1024),
                  columns = config.layers * config.heads * config.head_dim;
    const double weights = 6.0 * static_cast<double>(table.count(Role::matrix) + config.vocabulary * config.hidden);
    const TrainingFlops flops = flops_per_token(config, seq);
    EXPECT_DOUBLE_EQ(flops.full, weights + 12.0 * static_cast<double>(columns * seq)) << entry.path();
    EXPECT_DOUBLE_EQ(flops.causal, weights + 6.0 * static_cast<double>(columns * (seq + 1))) << entry.path();
  }
}

TEST(ModelConfig, ReadsRopeWhereEitherTransformersWritesIt) {
  EXPECT_EQ(parse(std::string(tiny) + R"(, "rope_theta": 500000})").rope_theta, 500000);
  EXPECT_EQ(
      parse(std::string(tiny) + R"(, "rope_parameters": {"rope_type": "default", "rope_theta": 500000}})").rope_theta,
      500000);
  EXPECT_NE(
      config_error(std::string(tiny) + R"(, "rope_parameters": {"rope_type": "llama3"}})").find("allowed: default"),
      std::string::npos);
  EXPECT_NE(config_error(std::string(tiny) + R"(, "rope_theta": 1e4, "rope_parameters": {"rope_theta": 5e5}})")
                .find("rope_parameters.rope_theta is 500000"),
            std::string::npos);
}

TEST(TrainingFlops, MatchThePublishedArithmetic) {
  // Billions of operations a token at T = 1024, attention counted fully and causally.
  auto flops = [](const char* name) {
    return flops_per_token(load_model(source_path(std::string("configs/models/") + name + ".json")), 1024);
  };
  EXPECT_NEAR(flops("gpt2_124m").full / 1e9, 0.854, 0.0005);
  EXPECT_NEAR(flops("gpt2_124m").causal / 1e9, 0.798, 0.0005);
  EXPECT_NEAR(flops("llama_350m").full / 1e9, 2.313, 0.0005);
  EXPECT_NEAR(flops("smollm2_135m").causal / 1e9, 0.913, 0.0005);
}

TEST(Logits, ComeInEvenPiecesOfWholeTiles) {
  const ModelConfig gpt2 = load_model(source_path("configs/models/gpt2_124m.json"));
  EXPECT_EQ(logit_chunk_rows(gpt2, 1024, DType::bf16), 1024);       // 103 MB
  EXPECT_EQ(logit_chunk_rows(gpt2, 2048, DType::bf16), 1024);       // 128 MiB hold 1335 rows
  EXPECT_EQ(logit_chunk_rows(gpt2, 2048, DType::f32), 512);         // or 667
  EXPECT_EQ(logit_chunk_rows(gpt2, 64 * 1024, DType::bf16), 9472);  // 7 pieces of at most 1 GiB
  EXPECT_EQ(logit_chunk_rows(gpt2, 1, DType::f32), 1);
}

TEST(Initialization, IsAPureFunctionOfSeedNameAndElement) {
  ParameterTable table = parameter_table(parse(std::string(tiny) + "}"));
  const Parameter& q = table.find("model.layers.0.self_attn.q_proj.weight");
  std::vector<float> whole(q.numel()), part(100);
  initial_values(q, 7, 0, q.numel(), whole.data());
  initial_values(q, 7, 333, 100, part.data());
  double square = 0;
  for (float v : whole) square += double{v} * v;
  EXPECT_NEAR(std::sqrt(square / static_cast<double>(q.numel())), 0.02, 0.002);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(part[i], whole[333 + i]);
  const Parameter& norm = table.find("model.norm.weight");
  initial_values(norm, 7, 0, 32, part.data());
  EXPECT_EQ(part[5], 1.0f);
}

}  // namespace
}  // namespace rowan
