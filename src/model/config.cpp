#include "model/config.h"

#include <fmt/core.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "model/layout.h"

namespace rowan {
namespace {

constexpr int64_t most = int64_t{1} << 31;

// Keys of published files that do not change the mathematics of training: notes of the library that wrote the file,
// how text is generated, how a classifier names its labels.
const std::set<std::string> bookkeeping = {
    // who made it, of what, for which program
    "architectures", "_name_or_path", "_commit_hash", "transformers_version", "transformers.js_config", "torch_dtype",
    "dtype", "tokenizer_class", "model_max_length", "unsloth_version", "unsloth_fixed", "comment",
    // how it is run
    "use_cache", "is_decoder", "return_dict", "use_return_dict", "output_hidden_states", "output_attentions",
    "output_past", "torchscript", "use_bfloat16", "gradient_checkpointing", "pretraining_tp", "is_llama_config",
    "_attn_implementation", "_attn_implementation_autoset", "attn_implementation", "_flash_attn_2_enabled",
    "reorder_and_upcast_attn", "chunk_size_feed_forward", "tf_legacy_loss", "n_ctx",
    // tokens, generation
    "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id", "prefix", "max_length",
    "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty", "temperature",
    "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "output_scores", "return_dict_in_generate",
    "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values", "exponential_decay_length_penalty",
    "suppress_tokens", "begin_suppress_tokens",
    // heads for other tasks
    "summary_type", "summary_use_proj", "summary_activation", "summary_first_dropout", "summary_proj_to_labels",
    "classifier_dropout", "task_specific_params", "finetuning_task", "problem_type", "num_labels", "id2label",
    "label2id"};

// A key of one value only.
template <typename Value>
void require(JsonObject& object, const char* key, const Value& only) {
  if (!object.has(key)) return;
  const Json& value = object.raw(key);
  if (value != Json(only))
    object.fail(key, fmt::format("found {}, only {} is implemented", value.dump(), Json(only).dump()));
}

// Keys with which transformers makes another model, and what they have to say for the one that is here.
void check_variants(JsonObject& object, Family family) {
  static const std::set<std::string> no = {"rope_interleaved", "is_encoder_decoder", "add_cross_attention",
                                           "tie_encoder_decoder", "use_sliding_window"};
  std::set<std::string> zero = {"hidden_dropout", "hidden_dropout_prob"};
  if (family == Family::llama) zero.insert({"resid_pdrop", "embd_pdrop"});
  for (const std::string& key : object.keys()) {
    if (no.contains(key) && object.boolean(key)) object.fail(key, "found true, only false is implemented");
    if (zero.contains(key)) require(object, key.c_str(), 0);
    if (key == "partial_rotary_factor" && object.number(key) != 1) object.fail(key, "only 1 is implemented");
    if (key == "pruned_heads" && !object.raw(key).empty()) object.fail(key, "only {} is implemented");
    if (key != "layer_types") continue;
    for (const std::string& type : object.strings(key))
      if (type != "full_attention")
        object.fail(key, fmt::format("found '{}', only full_attention is implemented", type));
  }
}

double parse_rate(JsonObject& object, const char* key) {
  const double rate = object.number(key, 0, 0);
  if (rate >= 1) object.fail(key, fmt::format("found {}, must be at least 0 and below 1", rate));
  return rate;
}

// Above 0 where it is given.
double parse_positive(JsonObject& object, const char* key) {
  if (!object.has(key)) return 0;
  const double value = object.number(key);
  if (value <= 0) object.fail(key, fmt::format("found {}, must be greater than 0", value));
  return value;
}

// What every family may have.
void parse_common(JsonObject& object, ModelConfig& config) {
  config.attention_scale = parse_positive(object, "attention_scale");
  config.logit_softcap = parse_positive(object, "logit_softcap");
  config.initialization = parse_initialization(object, "initialization");
}

// LLaMA, or Qwen3, which is LLaMA with normalized queries and keys and a head size of its own.
ModelConfig parse_llama(JsonObject& object, bool qwen3) {
  ModelConfig config;
  config.hidden = object.integer("hidden_size", {}, 1, most);
  config.intermediate = object.integer("intermediate_size", {}, 1, most);
  config.layers = object.integer("num_hidden_layers", {}, 1, 100000);
  config.heads = object.integer("num_attention_heads", {}, 1, most);
  config.kv_heads = object.integer("num_key_value_heads", config.heads, 1, most);
  config.vocabulary = object.integer("vocab_size", {}, 2, most);
  config.norm_eps = object.number("rms_norm_eps", 1e-6, 0, 1);
  config.tied = object.boolean("tie_word_embeddings", false);
  config.init_std = config.residual_init_std = object.number("initializer_range", 0.02, 0);
  // GaLore's files say max_sequence_length, which transformers ignores; RoPE has no table to outgrow.
  int64_t declared = object.integer("max_sequence_length", 2048, 1, most);
  config.positions = object.integer("max_position_embeddings", std::max<int64_t>(declared, 2048), 1, most);
  config.attention_bias = object.boolean("attention_bias", false);
  config.dropout.attention = parse_rate(object, "attention_dropout");
  if (config.hidden % config.heads && !qwen3 && !object.has("head_dim"))
    object.fail("num_attention_heads",
                fmt::format("{} heads do not divide hidden_size {}", config.heads, config.hidden));
  config.head_dim = object.integer("head_dim", qwen3 ? 128 : config.hidden / config.heads, 1, most);
  if (config.heads % config.kv_heads)
    object.fail("num_key_value_heads",
                fmt::format("{} key/value heads do not divide {} attention heads", config.kv_heads, config.heads));
  if (config.head_dim % 2)
    object.fail("num_attention_heads", fmt::format("head dimension {} is odd; RoPE needs pairs", config.head_dim));
  config.rope = parse_rope(object, config.head_dim, 10000);
  if (qwen3) {
    config.qk_norm = HeadNorm::rms_gain;
    object.choice("hidden_act", {"silu"}, "silu");
    for (const char* key : {"sliding_window", "max_window_layers"})  // of no effect without use_sliding_window
      if (object.has(key)) object.raw(key);
    return config;
  }
  config.embedding_norm = object.boolean("embedding_norm", false);
  config.mlp_bias = object.boolean("mlp_bias", false);
  config.head_bias = object.boolean("head_bias", false);
  const std::string qk_norm = object.choice("qk_norm", {"none", "rms", "rms_gain"}, "none");
  config.qk_norm = qk_norm == "none" ? HeadNorm::none : qk_norm == "rms" ? HeadNorm::rms : HeadNorm::rms_gain;
  config.activation =
      object.choice("hidden_act", {"silu", "relu2"}, "silu") == "silu" ? Activation::silu : Activation::relu_squared;
  config.gated = object.boolean("gated_mlp", true);
  config.dropout.embedding = parse_rate(object, "embedding_dropout");
  config.dropout.residual = parse_rate(object, "residual_dropout");
  return config;
}

ModelConfig parse_gpt2(JsonObject& object) {
  ModelConfig config;
  config.family = Family::gpt2;
  config.norm = Norm::layer;
  config.gated = false;
  config.hidden = object.integer("n_embd", {}, 1, most);
  config.layers = object.integer("n_layer", {}, 1, 100000);
  config.heads = config.kv_heads = object.integer("n_head", {}, 1, most);
  config.positions = object.integer("n_positions", 1024, 1, most);
  config.vocabulary = object.integer("vocab_size", 50257, 2, most);
  config.norm_eps = object.number("layer_norm_epsilon", 1e-5, 0, 1);
  config.activation = object.choice("activation_function", {"gelu_new", "gelu"}, "gelu_new") == "gelu"
                          ? Activation::gelu_erf
                          : Activation::gelu_tanh;
  config.norm_bias = config.attention_bias = config.mlp_bias = object.boolean("bias", true);
  config.tied = object.boolean("tie_word_embeddings", true);
  config.split_qkv = object.boolean("split_qkv", false);
  config.init_std = object.number("initializer_range", 0.02, 0);
  config.residual_init_std = config.init_std / std::sqrt(2.0 * static_cast<double>(config.layers));
  config.scale_attn_by_inverse_layer_idx = object.boolean("scale_attn_by_inverse_layer_idx", false);
  config.qk_clip = object.number("qk_clip", 0, 0);
  config.intermediate = object.integer("n_inner", 4 * config.hidden, 1, most);
  config.dropout = {parse_rate(object, "embd_pdrop"), parse_rate(object, "attn_pdrop"),
                    parse_rate(object, "resid_pdrop")};
  require(object, "scale_attn_weights", true);
  if (config.hidden % config.heads)
    object.fail("n_head", fmt::format("{} heads do not divide n_embd {}", config.heads, config.hidden));
  config.head_dim = config.hidden / config.heads;
  return config;
}

}  // namespace

AttentionShape ModelConfig::attention(int64_t batch, int64_t seq, int64_t layer) const {
  double scale = attention_scale > 0 ? attention_scale : 1 / std::sqrt(static_cast<double>(head_dim));
  if (scale_attn_by_inverse_layer_idx) scale /= static_cast<double>(layer + 1);
  return AttentionShape{batch, seq, heads, kv_heads, head_dim, static_cast<float>(scale)};
}

ModelConfig parse_model(JsonObject object) {
  object.ignore_nulls();
  const std::string type = object.choice("model_type", {"llama", "qwen3", "gpt2"});
  ModelConfig config = type == "gpt2" ? parse_gpt2(object) : parse_llama(object, type == "qwen3");
  parse_common(object, config);
  check_variants(object, config.family);
  for (const std::string& key : object.keys())
    if (bookkeeping.contains(key)) object.raw(key);
  object.finish();
  config.source = Json::object();
  for (const std::string& key : object.keys()) config.source[key] = object.raw(key);
  try {
    parameter_table(config);
  } catch (const Error& error) {
    object.fail("initialization", error.what());
  }
  return config;
}

ModelConfig load_model(const std::string& path) {
  auto source = std::make_shared<const JsonSource>(JsonSource{path, read_file(path)});
  Json json = parse_json(*source);
  return parse_model(JsonObject(source, json));
}

Json hugging_face_config(const ModelConfig& config) {
  auto refuse = [](const char* key, const auto& value) {
    fail("export: the model has {} {}, transformers has no such model", key, value);
  };
  if (config.embedding_norm) refuse("embedding_norm", true);
  if (config.head_bias) refuse("head_bias", true);
  if (config.logit_softcap > 0) refuse("logit_softcap", config.logit_softcap);
  if (config.attention_scale > 0) refuse("attention_scale", config.attention_scale);
  if (config.qk_clip > 0) refuse("qk_clip", config.qk_clip);
  if (config.family == Family::llama) {
    if (config.qk_norm == HeadNorm::rms) refuse("qk_norm", "rms");
    if (config.qk_norm == HeadNorm::rms_gain && config.mlp_bias) refuse("qk_norm rms_gain and mlp_bias", true);
    if (config.activation != Activation::silu) refuse("hidden_act", "relu2");
    if (!config.gated) refuse("gated_mlp", false);
    if (config.rope->fraction != 1) refuse("rope_fraction", config.rope->fraction);
    if (config.rope->frequencies == Rope::Frequencies::endpoint) refuse("rope_frequencies", "endpoint");
    if (config.rope->direction != 1) refuse("rope_direction", config.rope->direction);
  }

  Json result = config.source;
  for (const char* key : {"bias", "split_qkv", "qk_clip", "max_sequence_length", "comment", "embedding_norm",
                          "head_bias", "qk_norm", "gated_mlp", "rope_fraction", "rope_frequencies", "rope_direction",
                          "logit_softcap", "embedding_dropout", "residual_dropout", "initialization"})
    result.erase(key);
  result["tie_word_embeddings"] = config.tied;
  if (config.family == Family::gpt2) {
    result["architectures"] = {"GPT2LMHeadModel"};
    result["embd_pdrop"] = config.dropout.embedding;
    result["attn_pdrop"] = config.dropout.attention;
    result["resid_pdrop"] = config.dropout.residual;
    result["n_ctx"] = config.positions;
    return result;
  }
  const bool qwen3 = config.qk_norm == HeadNorm::rms_gain;
  result["model_type"] = qwen3 ? "qwen3" : "llama";
  result["architectures"] = {qwen3 ? "Qwen3ForCausalLM" : "LlamaForCausalLM"};
  result["max_position_embeddings"] = config.positions;
  result["num_key_value_heads"] = config.kv_heads;
  result["head_dim"] = config.head_dim;
  result["hidden_act"] = "silu";
  return result;
}

std::vector<std::pair<std::string, std::string>> function_keys(const ModelConfig& config) {
  std::vector<std::pair<std::string, std::string>> keys;
  auto add = [&](const char* key, const auto& value) { keys.emplace_back(key, fmt::format("{}", value)); };
  add("the number of heads", config.heads);
  add("the number of key/value heads", config.kv_heads);
  add("the norm's epsilon", config.norm_eps);
  static const char* const head_norms[] = {"none", "rms", "rms_gain"};
  add("qk_norm", head_norms[static_cast<int>(config.qk_norm)]);
  if (config.rope) {
    const Rope& rope = *config.rope;
    add("rope_theta", rope.theta);
    add("rope_fraction", rope.fraction);
    add("rope_frequencies", rope.frequencies == Rope::Frequencies::endpoint ? "endpoint" : "standard");
    add("rope_direction", rope.direction);
    add("rope_scaling", rope.factor == 0 ? "null"
                                         : fmt::format("llama3 {} {} {} {}", rope.factor, rope.low_factor,
                                                       rope.high_factor, rope.original));
  }
  static const char* const activations[] = {"silu", "gelu_new", "gelu", "relu2"};
  add(config.family == Family::gpt2 ? "activation_function" : "hidden_act",
      activations[static_cast<int>(config.activation)]);
  add("gated_mlp", config.gated);
  add("attention_scale", config.attention_scale);
  add("scale_attn_by_inverse_layer_idx", config.scale_attn_by_inverse_layer_idx);
  add("qk_clip", config.qk_clip);
  add("logit_softcap", config.logit_softcap);
  return keys;
}

}  // namespace rowan
