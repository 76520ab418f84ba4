// Tests which model configs are read as published and which are refused. Also tests rotary positions, initialization,
// chunks of logits, and counts of parameters and FLOPs.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/section.h"
#include "distances.h"
#include "error_of.h"
#include "kernels/thread_pool.h"
#include "model/export_config.h"
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
  return error_of([&] { parse(text); });
}

struct Published {
  const char* name;
  int64_t parameters;  // all parameters
  int64_t matrices;    // parameters of the matrices inside the blocks; 0: not published
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

// These are the configs of GaLore (llama_*), RMNP (llama_350m_rmnp), SmolLM2, GPT-2 and modded-nanogpt's Track 3.
INSTANTIATE_TEST_SUITE_P(
    Models, PublishedSizes,
    testing::Values(Published{"llama_60m", 58'073'600, 25'296'896}, Published{"llama_130m", 134'105'856, 84'934'656},
                    Published{"llama_350m", 367'969'280, 302'383'104},
                    Published{"llama_1b", 1'339'082'752, 1'207'910'400},
                    Published{"llama_350m_rmnp", 271'090'688, 205'520'896},
                    Published{"smollm2_135m", 134'515'008, 106'168'320}, Published{"smollm2_360m", 361'821'120, 0},
                    Published{"gpt2_124m", 124'439'808, 0}, Published{"gpt2_355m", 354'823'168, 0},
                    Published{"gpt2_774m", 774'030'080, 0}, Published{"gpt2_1558m", 1'557'611'200, 0},
                    Published{"track3_162m", 162'354'816, 84'934'656}),
    [](const auto& info) { return std::string(info.param.name); });

const char* const tiny = R"({"model_type": "llama", "hidden_size": 32, "intermediate_size": 64,
  "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100)";

TEST(ModelConfigErrors, NameTheFieldAndTheNearestKey) {
  EXPECT_EQ(config_error(std::string(tiny) + ",\n \"rms_norm_esp\": 1e-5}").substr(0, 64),
            "model.json:3: rms_norm_esp: unknown key 'rms_norm_esp'; did you ");
  EXPECT_NE(config_error(std::string(tiny) + R"(, "num_key_value_heads": 3})").find("found 3, expected a divisor of 4"),
            std::string::npos);
  EXPECT_NE(config_error(std::string(tiny) + R"(, "rope_scaling": {"type": "linear"}})").find("rope_scaling"),
            std::string::npos);
  EXPECT_NE(config_error(std::string(tiny) + R"(, "hidden_act": "gelu"})").find("expected one of silu, relu2"),
            std::string::npos);
  EXPECT_NE(config_error(R"({"model_type": "gpt2", "n_embd": 33, "n_layer": 2, "n_head": 4})")
                .find("found 4, expected a divisor of n_embd"),
            std::string::npos);
  EXPECT_NE(config_error(R"({"model_type": "gpt3"})").find("did you mean 'gpt2'"), std::string::npos);
  // RoPE turns pairs. The message names the key that gave the width of a head.
  EXPECT_EQ(config_error(std::string(tiny) + ",\n \"head_dim\": 7}"),
            "model.json:3: head_dim: found a head dimension of 7, expected an even one for RoPE");
  EXPECT_NE(config_error(R"({"model_type": "llama", "hidden_size": 12, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "vocab_size": 100})")
                .find("num_attention_heads: found a head dimension of 3, expected an even one"),
            std::string::npos);
}

// Published config.json files also have keys that do not describe the model.
TEST(ModelConfig, ReadsPublishedFilesAsTheyAre) {
  for (const char* key :
       {R"("head_dim": null)",
        R"("rope_scaling": null)",
        R"("rope_scaling": {"rope_type": "default"})",
        R"("sliding_window": null)",
        R"("num_key_value_heads": null)",
        R"("attention_dropout": null)",
        R"("transformers.js_config": {"dtype": "q4"})",
        R"("_attn_implementation_autoset": true)",
        R"("id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0})",
        R"("add_cross_attention": false)",
        R"("is_encoder_decoder": false)",
        R"("is_decoder": true)",
        R"("pruned_heads": {})",
        R"("partial_rotary_factor": 1.0)",
        R"("resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0)",
        R"("bad_words_ids": null, "do_sample": false, "temperature": 0.6, "top_p": 0.9, "max_length": 4096)",
        R"("eos_token_id": [128001, 128008])",
        R"("layer_types": ["full_attention", "full_attention"])",
        R"("rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "factor": null})",
        R"("unsloth_version": "2024.9", "tokenizer_class": "LlamaTokenizer", "_commit_hash": "0123")"}) {
    const std::string text = std::string(tiny) + ", " + key + "}";
    ASSERT_EQ(config_error(text), "") << key;
    const ModelConfig config = parse(text);
    EXPECT_EQ(config.head_dim, 8) << key;
    EXPECT_EQ(config.kv_heads, 4) << key;
    EXPECT_EQ(config.rope->theta, 10000) << key;
  }
  EXPECT_EQ(config_error(R"({"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": null,
      "summary_type": "cls_index", "task_specific_params": {"text-generation": {"do_sample": true}}})"),
            "");
  EXPECT_NE(config_error(std::string(tiny) + R"(, "vocab_size_": null, "hidden_act": null, "num_hidden_layer": 3})")
                .find("unknown key 'num_hidden_layer'"),
            std::string::npos);
}

// The names that transformers gives to one function, and the second names of GPT-2's sizes.
TEST(ModelConfig, ReadsWhatTransformersNamesTwice) {
  EXPECT_EQ(parse(std::string(tiny) + R"(, "hidden_act": "swish"})").activation, Activation::silu);
  EXPECT_EQ(parse(std::string(tiny) + R"(, "hidden_act": "swish"})").resolved["hidden_act"], "silu");
  const std::string gpt2 = R"({"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64)";
  for (const char* same : {"gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate"})
    EXPECT_EQ(parse(gpt2 + R"(, "activation_function": ")" + same + "\"}").activation, Activation::gelu_tanh) << same;
  EXPECT_EQ(parse(gpt2 + R"(, "activation_function": "gelu_python"})").activation, Activation::gelu_erf);
  for (const char* other : {"quick_gelu", "gelu_10", "relu"})
    EXPECT_NE(
        config_error(gpt2 + R"(, "activation_function": ")" + other + "\"}").find("expected one of gelu_new, gelu"),
        std::string::npos);

  const std::string again = R"(, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4)";
  EXPECT_EQ(config_error(gpt2 + again + R"(, "max_position_embeddings": 64})"), "");
  EXPECT_NE(config_error(gpt2 + again + R"(, "max_position_embeddings": 32})")
                .find("max_position_embeddings: found 32, expected 64 as in n_positions"),
            std::string::npos);
  EXPECT_FALSE(parse(gpt2 + again + "}").resolved.contains("hidden_size"));
}

TEST(ModelConfig, RefusesWhatWouldBeAnotherModel) {
  for (const char* key :
       {R"("add_cross_attention": true)", R"("is_encoder_decoder": true)", R"("pruned_heads": {"0": [1]})",
        R"("partial_rotary_factor": 0.5)", R"("resid_pdrop": 0.1)", R"("attn_pdrop": 0.1)",
        R"("layer_types": ["sliding_attention"])", R"("sliding_window": 4096)", R"("quantization_config": {"bits": 4})",
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
  EXPECT_EQ(parse(std::string(tiny) + R"(, "rope_theta": 500000})").rope->theta, 500000);
  EXPECT_EQ(
      parse(std::string(tiny) + R"(, "rope_parameters": {"rope_type": "default", "rope_theta": 500000}})").rope->theta,
      500000);
  EXPECT_NE(config_error(std::string(tiny) + R"(, "rope_parameters": {"rope_type": "llama3"}})")
                .find("rope_parameters.factor: is missing"),
            std::string::npos);
  EXPECT_NE(config_error(std::string(tiny) + R"(, "rope_theta": 1e4, "rope_parameters": {"rope_theta": 5e5}})")
                .find("expected 500000 as in rope_parameters.rope_theta"),
            std::string::npos);
  EXPECT_EQ(config_error(std::string(tiny) + R"(, "rope_parameters": {"partial_rotary_factor": 1.0}})"), "");
  EXPECT_NE(config_error(std::string(tiny) + R"(, "rope_parameters": {"partial_rotary_factor": 0.5}})")
                .find("rope_parameters.partial_rotary_factor: expected 1: nothing else is implemented"),
            std::string::npos);
}

// Older files call the kind of scaling "type", newer ones "rope_type", and some have both.
TEST(ModelConfig, ReadsTheKindOfRopeUnderBothNames) {
  auto scaled = [](const std::string& kind) {
    return std::string(tiny) + R"(, "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 8192, )" +
           kind + "}}";
  };
  for (const char* kind :
       {R"("rope_type": "llama3")", R"("type": "llama3")", R"("type": "llama3", "rope_type": "llama3")"})
    EXPECT_EQ(parse(scaled(kind)).rope->factor, 8) << kind;
  EXPECT_NE(config_error(scaled(R"("type": "default", "rope_type": "llama3")"))
                .find("rope_scaling.type: found 'default', expected 'llama3' as in rope_type"),
            std::string::npos);
  EXPECT_NE(config_error(std::string(tiny) + R"(, "rope_scaling": {"factor": 8.0}})").find("rope_scaling.rope_type"),
            std::string::npos);
}

TEST(ModelConfigErrors, RefuseSwitchesThatCannotBe) {
  auto refused = [](const std::string& key_and_value, const std::string& message) {
    const std::string error = config_error(std::string(tiny) + ", " + key_and_value + "}");
    EXPECT_NE(error.find(message), std::string::npos) << key_and_value << ": " << error;
  };
  refused(R"("logit_softcap": 0)", "logit_softcap: found 0, expected more than 0");
  refused(R"("logit_softcap": -15)", "logit_softcap: found -15, expected more than 0");
  refused(R"("attention_scale": 0)", "attention_scale: found 0, expected more than 0");
  refused(R"("qk_norm": "layer")", "expected one of none, rms, rms_gain");
  for (const char* key : {"attention_dropout", "residual_dropout", "embedding_dropout"})
    for (const char* rate : {"1", "1.5"})
      refused(fmt::format("\"{}\": {}", key, rate),
              fmt::format("{}: found {}, expected at least 0 and below 1", key, rate));
  refused(R"("rope_fraction": 0.4)", "rope_fraction: found 0.4, which rotates 3.2 of the 8 values of a head");
  refused(R"("rope_fraction": 0.125)", "which rotates 1 of the 8 values");
  refused(R"("rope_fraction": 0)", "rope_fraction: found 0, ");
  refused(R"("rope_direction": 0)", "rope_direction: found 0, expected 1 or -1");
  refused(R"("rope_frequencies": "log")", "expected one of standard, endpoint");
  refused(R"("rope_scaling": {"rope_type": "yarn", "factor": 2})", "expected one of default, llama3");
  refused(R"("rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4,
    "original_max_position_embeddings": 8192})",
          "high_freq_factor: found 4, expected more than low_freq_factor 4");
  refused(R"("initialization": [{"names": ["*.o_prok.*"], "distribution": "zero"}])",
          "initialization: entry 0: matches no parameter, or only parameters that earlier entries match");
  refused(R"("initialization": [{"roles": ["norm"], "distribution": "normal", "gain": 1}])",
          "entry 0: gain: needs a fan-in, but 'model.layers.0.input_layernorm.weight' belongs to no linear layer");
  refused(R"("initialization": [{"distribution": "zero"}])", "found neither roles nor names");
  refused(R"("initialization": [{"roles": ["head"], "distribution": "normal", "std": 1, "gain": 1}])",
          "gain: conflicts with std");
  refused(R"("initialization": [{"roles": ["head"], "distribution": "uniform", "std": 1}])", "bound: is missing");
}

TEST(ModelConfig, ReadsQwen3AsPublished) {
  const char* const published = R"({"architectures": ["Qwen3ForCausalLM"], "attention_bias": false,
    "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu",
    "hidden_size": 1024, "initializer_range": 0.02, "intermediate_size": 3072, "max_position_embeddings": 40960,
    "max_window_layers": 28, "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 28,
    "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000,
    "sliding_window": null, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.51.0",
    "use_cache": true, "use_sliding_window": false, "vocab_size": 151936})";
  const ModelConfig config = parse(published);
  EXPECT_EQ(parameter_table(config).count(), 596'049'920);  // Qwen3-0.6B
  EXPECT_EQ(config.qk_norm, HeadNorm::rms_gain);
  EXPECT_EQ(config.positions, 40960);
  const Json exported = hugging_face_config(config);
  EXPECT_EQ(exported["architectures"][0], "Qwen3ForCausalLM");
  EXPECT_EQ(exported["model_type"], "qwen3");
  EXPECT_NE(config_error(R"({"model_type": "qwen3", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "vocab_size": 100, "use_sliding_window": true})")
                .find("use_sliding_window: found true, expected false"),
            std::string::npos);
}

// A key that is new here must be refused, dropped or translated by hugging_face_config(): else transformers would open
// the exported model and silently compute something else.
TEST(ModelConfig, OfEveryKeyItIsKnownWhatAnExportDoes) {
  const std::map<std::string, std::set<std::string>> of_transformers = {
      {"model.llama",
       {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
        "head_dim", "vocab_size", "max_position_embeddings", "rms_norm_eps", "rope_theta", "rope_scaling",
        "rope_parameters", "tie_word_embeddings", "initializer_range", "attention_bias", "attention_dropout",
        "hidden_act", "mlp_bias"}},
      {"model.gpt2",
       {"n_embd", "n_layer", "n_head", "n_inner", "n_positions", "vocab_size", "layer_norm_epsilon",
        "activation_function", "tie_word_embeddings", "initializer_range", "embd_pdrop", "attn_pdrop", "resid_pdrop",
        "scale_attn_by_inverse_layer_idx"}},
      {"model", {}}};
  // Dropped, because they change training or the names of the tensors, but not what the exported model computes.
  const std::set<std::string> dropped = {"bias",           "split_qkv",         "max_sequence_length",
                                         "initialization", "embedding_dropout", "residual_dropout"};
  const std::map<std::string, std::string> refused = {{"embedding_norm", "true"}, {"head_bias", "true"},
                                                      {"qk_norm", "\"rms\""},     {"gated_mlp", "false"},
                                                      {"rope_fraction", "0.5"},   {"rope_frequencies", "\"endpoint\""},
                                                      {"rope_direction", "-1"},   {"attention_scale", "0.3"},
                                                      {"logit_softcap", "30"},    {"qk_clip", "8"}};
  const std::string gpt2 = R"({"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2)";
  for (const auto& [kind, rows] : model_keys())
    for (const KeyRow& row : rows) {
      const auto known = of_transformers.find(kind);
      ASSERT_NE(known, of_transformers.end()) << kind;
      const auto value = refused.find(row.name);
      if (value == refused.end()) {
        EXPECT_TRUE(known->second.contains(row.name) || dropped.contains(row.name)) << kind << ": " << row.name;
        continue;
      }
      const ModelConfig config =
          parse((kind == "model.gpt2" ? gpt2 : std::string(tiny)) + ", \"" + row.name + "\": " + value->second + "}");
      EXPECT_NE(error_of([&] { hugging_face_config(config); }).find("export: found " + row.name), std::string::npos)
          << kind << ": " << row.name;
    }
}

TEST(ModelConfig, KeysOfPublishedConfigsThatChangeNothing) {
  const std::string more =
      R"(, "n_special": 0, "predict_special_tokens": true, "_num_labels": 1, "model_parallel": false,
    "keys_to_ignore_at_inference": ["past_key_values"], "is_composition": false, "use_mrope": false,
    "trust_remote_code": true)";
  const ModelConfig plain = parse(std::string(tiny) + "}"), config = parse(tiny + more + "}");
  EXPECT_EQ(function_keys(config), function_keys(plain));
  EXPECT_EQ(config.resolved["n_special"], 0);
  EXPECT_NE(config_error(std::string(tiny) + R"(, "use_mrope": true})").find("use_mrope: found true, expected false"),
            std::string::npos);
}

// Compares the frequencies for LLaMA 3.1's settings with another form of the formula.
TEST(Rope, ScalesAsLlama3) {
  const ModelConfig config = parse(std::string(tiny) + R"(, "head_dim": 128, "rope_theta": 500000, "rope_scaling":
    {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
     "rope_type": "llama3"}})");
  const std::vector<float> table = rope_table(*config.rope, 2, 128);
  for (int j = 0; j < 64; ++j) {
    const double plain = std::pow(500000.0, -j / 64.0), wave = 2 * 3.14159265358979323846 / plain;
    double want = plain;
    if (wave > 8192) want = plain / 8;
    if (wave <= 8192 && wave >= 2048) {
      const double smooth = (8192 / wave - 1) / 3;
      want = (1 - smooth) * plain / 8 + smooth * plain;
    }
    EXPECT_NEAR(table[128 + j], std::cos(want), 1e-7) << j;
    EXPECT_NEAR(table[128 + 64 + j], std::sin(want), 1e-7) << j;
  }
}

TEST(Rope, OfTrack3TurnsHalfThePairsBackwards) {
  const ModelConfig config = parse(std::string(tiny) + R"(, "head_dim": 128, "rope_theta": 1024, "rope_fraction": 0.5,
    "rope_frequencies": "endpoint", "rope_direction": -1})");
  const std::vector<float> table = rope_table(*config.rope, 5, 128);
  for (int j = 0; j < 64; ++j) {
    const double angle = j < 32 ? 4 * std::pow(1.0 / 1024, j / 31.0) : 0;
    EXPECT_NEAR(table[4 * 128 + j], std::cos(angle), 1e-7) << j;
    EXPECT_NEAR(table[4 * 128 + 64 + j], -std::sin(angle), 1e-7) << j;
  }
}

TEST(Initialization, FollowsTheFirstRuleThatSpeaksOfAParameter) {
  const ParameterTable table =
      parameter_table(parse(std::string(tiny) + R"(, "attention_bias": true, "initialization": [
    {"names": ["*.o_proj.weight"], "distribution": "zero"},
    {"names": ["*.q_proj.weight"], "distribution": "normal", "gain": 0.5},
    {"names": ["*.down_proj.weight", "*.q_proj.bias"], "distribution": "uniform", "gain": 1},
    {"roles": ["embedding"], "distribution": "normal", "std": 1}]})"));
  ThreadPool alone(1);
  auto spread = [&](const char* name, bool largest) {
    const Parameter& parameter = table.find(name);
    std::vector<float> values(parameter.numel());
    initial_values(parameter, 3, 0, parameter.numel(), values.data(), alone);
    double squares = 0, most = 0;
    for (float v : values) squares += double{v} * v, most = larger(most, std::fabs(v));
    return largest ? most : std::sqrt(squares / static_cast<double>(values.size()));
  };
  EXPECT_EQ(spread("model.layers.0.self_attn.o_proj.weight", true), 0);
  EXPECT_EQ(spread("model.layers.0.self_attn.o_proj.bias", true), 0);
  EXPECT_NEAR(spread("model.layers.1.self_attn.q_proj.weight", false), 0.5 / std::sqrt(32), 0.005);
  EXPECT_NEAR(spread("model.embed_tokens.weight", false), 1, 0.03);
  EXPECT_NEAR(spread("model.layers.0.self_attn.k_proj.weight", false), 0.02, 0.001);
  EXPECT_NEAR(spread("model.layers.0.mlp.down_proj.weight", true), 1 / std::sqrt(64), 0.001);
  EXPECT_NEAR(spread("model.layers.0.mlp.down_proj.weight", false), 1 / std::sqrt(3 * 64), 0.003);
  const double bias = spread("model.layers.0.self_attn.q_proj.bias", true);
  EXPECT_LE(bias, 1 / std::sqrt(32));
  EXPECT_GT(bias, 0.12);
}

TEST(TrainingFlops, MatchThePublishedArithmetic) {
  // Billions of FLOPs per token at 1024 tokens per sequence. `full` counts attention to all tokens, `causal` only to
  // earlier ones and the token itself.
  auto flops = [](const char* name) {
    return flops_per_token(load_model(source_path(std::string("configs/models/") + name + ".json")), 1024);
  };
  EXPECT_NEAR(flops("gpt2_124m").full / 1e9, 0.854, 0.0005);
  EXPECT_NEAR(flops("gpt2_124m").causal / 1e9, 0.798, 0.0005);
  EXPECT_NEAR(flops("llama_350m").full / 1e9, 2.313, 0.0005);
  EXPECT_NEAR(flops("smollm2_135m").causal / 1e9, 0.913, 0.0005);
}

// The expected numbers are counted from the layers of train_gpt_simple.py. Each weight of the blocks and the head takes
// 6 FLOPs per token. A token attends to 512.5 keys on average. For each key, each of the 6 heads in each of the 12
// layers takes six dot products of length 128, forward and backward together.
TEST(TrainingFlops, AndParametersAreThoseOfTrack3) {
  for (const char* name : {"track3_162m", "track3_162m_uniform", "track3_162m_hyperball"}) {
    const ModelConfig config = load_model(source_path(std::string("configs/models/") + name + ".json"));
    const ParameterTable table = parameter_table(config);
    const int64_t hidden = 768, block = 4 * hidden * hidden + 2 * 4 * hidden * hidden, head = 50304 * hidden;
    EXPECT_EQ(table.count(Role::matrix), 12 * block);
    EXPECT_EQ(table.count(Role::embedding), head);
    EXPECT_EQ(table.count(Role::head), head);
    EXPECT_EQ(table.count(Role::bias), 12 * (4 + 4 + 1) * hidden + 50304);
    EXPECT_EQ(table.count(Role::norm), (12 * 2 + 2) * hidden);
    EXPECT_EQ(table.count(), 162'354'816);
    const TrainingFlops flops = flops_per_token(config, 1024);
    const double attention = 6 * 2.0 * 128 * 6 * 12 * 512.5;
    EXPECT_DOUBLE_EQ(flops.attention, attention);
    EXPECT_DOUBLE_EQ(flops.causal, 6.0 * static_cast<double>(12 * block + head) + attention);
    EXPECT_DOUBLE_EQ(flops.within(0.25), flops.causal - 0.75 * attention);
  }
}

TEST(Logits, ComeInEvenPiecesOfWholeTiles) {
  const ModelConfig gpt2 = load_model(source_path("configs/models/gpt2_124m.json"));
  EXPECT_EQ(logit_chunk_rows(gpt2, 1024, DType::bf16), 1024);       // all rows take 103 MB
  EXPECT_EQ(logit_chunk_rows(gpt2, 2048, DType::bf16), 1024);       // 1334 rows fit into 128 MiB
  EXPECT_EQ(logit_chunk_rows(gpt2, 2048, DType::f32), 512);         // 667 rows fit into 128 MiB
  EXPECT_EQ(logit_chunk_rows(gpt2, 64 * 1024, DType::bf16), 9472);  // 7 pieces of at most 1 GiB
  EXPECT_EQ(logit_chunk_rows(gpt2, 1, DType::f32), 1);
}

TEST(Initialization, IsAPureFunctionOfSeedNameAndElement) {
  ParameterTable table = parameter_table(parse(std::string(tiny) + "}"));
  const Parameter& q = table.find("model.layers.0.self_attn.q_proj.weight");
  std::vector<float> whole(q.numel()), part(100);
  ThreadPool several(3), alone(1);
  initial_values(q, 7, 0, q.numel(), whole.data(), several);
  initial_values(q, 7, 333, 100, part.data(), alone);
  double square = 0;
  for (float v : whole) square += double{v} * v;
  EXPECT_NEAR(std::sqrt(square / static_cast<double>(q.numel())), 0.02, 0.002);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(part[i], whole[333 + i]);
  const Parameter& norm = table.find("model.norm.weight");
  initial_values(norm, 7, 0, 32, part.data(), alone);
  EXPECT_EQ(part[5], 1.0f);
}

}  // namespace
}  // namespace rowan
