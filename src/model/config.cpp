#include "model/config.h"

#include <fmt/core.h>

#include <cmath>
#include <set>

#include "base/files.h"

namespace rowan {
namespace {

constexpr int64_t most = int64_t{1} << 31;

// Keys that transformers writes and that do not change the mathematics of training.
void skip_bookkeeping(JsonObject& object) {
  static const std::set<std::string> bookkeeping = {"architectures",
                                                    "_name_or_path",
                                                    "transformers_version",
                                                    "torch_dtype",
                                                    "dtype",
                                                    "use_cache",
                                                    "bos_token_id",
                                                    "eos_token_id",
                                                    "pad_token_id",
                                                    "n_ctx",
                                                    "pretraining_tp",
                                                    "is_llama_config",
                                                    "rope_interleaved",
                                                    "summary_type",
                                                    "summary_use_proj",
                                                    "summary_activation",
                                                    "summary_first_dropout",
                                                    "summary_proj_to_labels",
                                                    "task_specific_params",
                                                    "comment"};
  for (const std::string& key : object.keys())
    if (bookkeeping.count(key)) object.raw(key);
  if (object.boolean("rope_interleaved", false))
    object.fail("rope_interleaved", "found true, only the rotate-half layout (false) is implemented");
}

void require_zero(JsonObject& object, const char* key) {
  if (object.has(key) && object.number(key) != 0) object.fail(key, "there is no dropout; only 0 is allowed");
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
  if (object.has("rope_scaling") && !object.raw("rope_scaling").is_null())
    object.fail("rope_scaling", "only null is implemented");
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
  config.intermediate = 4 * config.hidden;
  if (object.has("n_inner") && !object.raw("n_inner").is_null())
    config.intermediate = object.integer("n_inner", {}, 1, most);
  for (const char* key : {"attn_pdrop", "embd_pdrop", "resid_pdrop"}) require_zero(object, key);
  if (!object.boolean("scale_attn_weights", true)) object.fail("scale_attn_weights", "only true is implemented");
  if (object.has("reorder_and_upcast_attn")) object.raw("reorder_and_upcast_attn");
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
  bool llama = object.choice("model_type", {"llama", "gpt2"}) == "llama";
  ModelConfig config = llama ? parse_llama(object) : parse_gpt2(object);
  skip_bookkeeping(object);
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
