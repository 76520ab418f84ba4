#include "model/export_config.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "model/config.h"

namespace rowan {
namespace {

const char* const token_id_keys[] = {
    "bos_token_id",           "eos_token_id",        "pad_token_id",        "sep_token_id",    "bad_words_ids",
    "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens"};

// Whether all integers in `value`, an id or nested lists of ids, are ids of the vocabulary.
bool has_only_ids(const Json& value, int64_t vocabulary) {
  if (value.is_array())
    return std::all_of(value.begin(), value.end(), [&](const Json& part) { return has_only_ids(part, vocabulary); });
  if (!value.is_number_integer()) return true;
  const auto id = value.get<int64_t>();
  return id >= 0 && id < vocabulary;
}

}  // namespace

Json hugging_face_config(const ModelConfig& config) {
  auto refuse = [](const char* key, const auto& value) {
    fail("export: found {} {}, which no model of Hugging Face transformers has", key, value);
  };
  if (config.embedding_norm) refuse("embedding_norm", true);
  if (config.head_bias) refuse("head_bias", true);
  if (config.logit_softcap > 0) refuse("logit_softcap", config.logit_softcap);
  if (config.attention_scale > 0) refuse("attention_scale", config.attention_scale);
  if (config.qk_clip > 0) refuse("qk_clip", config.qk_clip);
  if (config.family == Family::llama) {
    if (config.qk_norm == HeadNorm::rms) refuse("qk_norm", "rms");
    if (config.qk_norm == HeadNorm::rms_gain && config.mlp_bias) refuse("qk_norm rms_gain and mlp_bias", true);
    if (!config.gated) refuse("gated_mlp", false);
    if (config.rope->fraction != 1) refuse("rope_fraction", config.rope->fraction);
    if (config.rope->frequencies == Rope::Frequencies::endpoint) refuse("rope_frequencies", "endpoint");
    if (config.rope->direction != 1) refuse("rope_direction", config.rope->direction);
  }

  Json result = config.resolved;
  for (const char* key :
       {"bias", "split_qkv", "qk_clip", "comment", "embedding_norm", "head_bias", "qk_norm", "gated_mlp",
        "rope_fraction", "rope_frequencies", "rope_direction", "attention_scale", "logit_softcap", "embedding_dropout",
        "residual_dropout", "initialization", "dtype", "torch_dtype"})
    result.erase(key);
  for (const char* key : token_id_keys)
    if (result.contains(key) && !has_only_ids(result[key], config.vocabulary)) result.erase(key);
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
  result["hidden_act"] = config.activation == Activation::relu_squared ? "relu2" : "silu";
  if (qwen3) result.erase("mlp_bias");
  return result;
}

}  // namespace rowan
