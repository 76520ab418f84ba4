#include "model/config.h"

#include <fmt/core.h>

#include <cmath>
#include <set>

#include "base/files.h"

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

void require_zero(JsonObject& object, const char* key) {
  if (object.has(key) && object.number(key) != 0) object.fail(key, "there is no dropout; only 0 is allowed");
}

// Keys with which transformers makes another model, and what they have to say for the one that is here.
void check_variants(JsonObject& object) {
  static const std::set<std::string> no = {"rope_interleaved", "is_encoder_decoder", "add_cross_attention",
                                           "tie_encoder_decoder", "use_sliding_window"};
  static const std::set<std::string> zero = {"hidden_dropout", "hidden_dropout_prob", "resid_pdrop", "embd_pdrop"};
  for (const std::string& key : object.keys()) {
    if (no.contains(key) && object.boolean(key)) object.fail(key, "found true, only false is implemented");
    if (zero.contains(key)) require_zero(object, key.c_str());
    if (key == "partial_rotary_factor" && object.number(key) != 1) object.fail(key, "only 1 is implemented");
    if (key == "pruned_heads" && !object.raw(key).empty()) object.fail(key, "only {} is implemented");
    if (key != "layer_types") continue;
    for (const std::string& type : object.strings(key))
      if (type != "full_attention")
        object.fail(key, fmt::format("found '{}', only full_attention is implemented", type));
  }
}

void require_false(JsonObject& object, const char* key) {
  if (object.has(key) && object.boolean(key)) object.fail(key, "found true, only false is implemented for LLaMA");
}

ModelConfig parse_llama(JsonObject& object) {
  ModelConfig config;
  config.hidden = object.integer("hidden_size", {}, 1, most);
  config.intermediate = object.integer("intermediate_size", {}, 1, most);
  config.layers = object.integer("num_hidden_layers", {}, 1, 100000);
  config.heads = object.integer("num_attention_heads", {}, 1, most);
  config.kv_heads = object.integer("num_key_value_heads", config.heads, 1, most);
  config.vocabulary = object.integer("vocab_size", {}, 2, most);
  config.norm_eps = object.number("rms_norm_eps", 1e-6, 0, 1);
  config.rope_theta = object.number("rope_theta", 10000, 1);
  if (object.has("rope_parameters")) {  // where transformers 5 writes it
    JsonObject rope = object.object("rope_parameters");
    rope.choice("rope_type", {"default"}, "default");
    const double theta = rope.number("rope_theta", config.rope_theta, 1);
    rope.finish();
    if (object.has("rope_theta") && theta != config.rope_theta)
      object.fail("rope_theta",
                  fmt::format("found {}, but rope_parameters.rope_theta is {}", config.rope_theta, theta));
    config.rope_theta = theta;
  }
  config.tied = object.boolean("tie_word_embeddings", false);
  config.init_std = config.residual_init_std = object.number("initializer_range", 0.02, 0);
  // GaLore's files say max_sequence_length, which transformers ignores; RoPE has no table to outgrow.
  int64_t declared = object.integer("max_sequence_length", 2048, 1, most);
  config.positions = object.integer("max_position_embeddings", std::max<int64_t>(declared, 2048), 1, most);
  object.choice("hidden_act", {"silu"}, "silu");
  require_false(object, "attention_bias");
  require_false(object, "mlp_bias");
  require_zero(object, "attention_dropout");
  if (object.has("rope_scaling")) {
    const Json& scaling = object.raw("rope_scaling");
    if (scaling != Json{{"rope_type", "default"}} && scaling != Json{{"type", "default"}})
      object.fail("rope_scaling", "only null is implemented");
  }
  if (config.hidden % config.heads && !object.has("head_dim"))
    object.fail("num_attention_heads",
                fmt::format("{} heads do not divide hidden_size {}", config.heads, config.hidden));
  config.head_dim = object.integer("head_dim", config.hidden / config.heads, 1, most);
  if (config.heads % config.kv_heads)
    object.fail("num_key_value_heads",
                fmt::format("{} key/value heads do not divide {} attention heads", config.kv_heads, config.heads));
  if (config.head_dim % 2)
    object.fail("num_attention_heads", fmt::format("head dimension {} is odd; RoPE needs pairs", config.head_dim));
  return config;
}

ModelConfig parse_gpt2(JsonObject& object) {
  ModelConfig config;
  config.family = Family::gpt2;
  config.norm = Norm::layer;
  config.rope = config.swiglu = false;
  config.hidden = object.integer("n_embd", {}, 1, most);
  config.layers = object.integer("n_layer", {}, 1, 100000);
  config.heads = config.kv_heads = object.integer("n_head", {}, 1, most);
  config.positions = object.integer("n_positions", 1024, 1, most);
  config.vocabulary = object.integer("vocab_size", 50257, 2, most);
  config.norm_eps = object.number("layer_norm_epsilon", 1e-5, 0, 1);
  config.gelu =
      object.choice("activation_function", {"gelu_new", "gelu"}, "gelu_new") == "gelu" ? Gelu::erf : Gelu::tanh;
  config.bias = object.boolean("bias", true);
  config.tied = object.boolean("tie_word_embeddings", true);
  config.split_qkv = object.boolean("split_qkv", false);
  config.init_std = object.number("initializer_range", 0.02, 0);
  config.residual_init_std = config.init_std / std::sqrt(2.0 * static_cast<double>(config.layers));
  config.scale_attn_by_inverse_layer_idx = object.boolean("scale_attn_by_inverse_layer_idx", false);
  config.qk_clip = object.number("qk_clip", 0, 0);
  config.intermediate = object.integer("n_inner", 4 * config.hidden, 1, most);
  for (const char* key : {"attn_pdrop", "embd_pdrop", "resid_pdrop"}) require_zero(object, key);
  if (!object.boolean("scale_attn_weights", true)) object.fail("scale_attn_weights", "only true is implemented");
  if (config.hidden % config.heads)
    object.fail("n_head", fmt::format("{} heads do not divide n_embd {}", config.heads, config.hidden));
  config.head_dim = config.hidden / config.heads;
  return config;
}

}  // namespace

AttentionShape ModelConfig::attention(int64_t batch, int64_t seq, int64_t layer) const {
  double scale = 1 / std::sqrt(static_cast<double>(head_dim));
  if (scale_attn_by_inverse_layer_idx) scale /= static_cast<double>(layer + 1);
  return AttentionShape{batch, seq, heads, kv_heads, head_dim, static_cast<float>(scale)};
}

ModelConfig parse_model(JsonObject object) {
  object.ignore_nulls();
  bool llama = object.choice("model_type", {"llama", "gpt2"}) == "llama";
  ModelConfig config = llama ? parse_llama(object) : parse_gpt2(object);
  check_variants(object);
  for (const std::string& key : object.keys())
    if (bookkeeping.contains(key)) object.raw(key);
  object.finish();
  config.source = Json::object();
  for (const std::string& key : object.keys()) config.source[key] = object.raw(key);
  return config;
}

ModelConfig load_model(const std::string& path) {
  auto source = std::make_shared<const JsonSource>(JsonSource{path, read_file(path)});
  Json json = parse_json(*source);
  return parse_model(JsonObject(source, json));
}

Json hugging_face_config(const ModelConfig& config) {
  Json result = config.source;
  bool llama = config.family == Family::llama;
  result["architectures"] = {llama ? "LlamaForCausalLM" : "GPT2LMHeadModel"};
  result["torch_dtype"] = "float32";
  if (llama) {
    result["max_position_embeddings"] = config.positions;
    result["num_key_value_heads"] = config.kv_heads;
    result["tie_word_embeddings"] = config.tied;
    result["hidden_act"] = "silu";
  } else {
    for (const char* key : {"attn_pdrop", "embd_pdrop", "resid_pdrop"}) result[key] = 0.0;
    result["n_ctx"] = config.positions;
  }
  return result;
}

}  // namespace rowan
