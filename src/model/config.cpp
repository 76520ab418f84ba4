#include "model/config.h"

#include <fmt/core.h>

#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <tuple>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "model/layout.h"
#include "model/size.h"

namespace rowan {
namespace {

constexpr int64_t most = int64_t{1} << 31;

// Keys of published configs that do not change training. Examples are the version of the library that wrote the file,
// settings of generation, and label names of classifiers.
const std::set<std::string> bookkeeping = {
    // origin and format
    "architectures", "_name_or_path", "_commit_hash", "transformers_version", "transformers.js_config", "torch_dtype",
    "dtype", "tokenizer_class", "model_max_length", "unsloth_version", "unsloth_fixed", "comment", "trust_remote_code",
    // how the model is run
    "use_cache", "is_decoder", "return_dict", "use_return_dict", "output_hidden_states", "output_attentions",
    "output_past", "torchscript", "use_bfloat16", "gradient_checkpointing", "pretraining_tp", "is_llama_config",
    "_attn_implementation", "_attn_implementation_autoset", "attn_implementation", "_flash_attn_2_enabled",
    "reorder_and_upcast_attn", "chunk_size_feed_forward", "tf_legacy_loss", "n_ctx", "model_parallel",
    "keys_to_ignore_at_inference", "is_composition",
    // tokens and generation
    "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id", "prefix", "max_length",
    "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty", "temperature",
    "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "output_scores", "return_dict_in_generate",
    "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values", "exponential_decay_length_penalty",
    "suppress_tokens", "begin_suppress_tokens", "n_special", "predict_special_tokens",
    // output layers for other tasks
    "summary_type", "summary_use_proj", "summary_activation", "summary_first_dropout", "summary_proj_to_labels",
    "classifier_dropout", "task_specific_params", "finetuning_task", "problem_type", "num_labels", "id2label",
    "label2id", "_num_labels"};

// Checks a key for which only one value is implemented.
template <typename Value>
void require(JsonObject& object, const char* key, const Value& only) {
  if (!object.has(key)) return;
  const Json& value = object.raw(key);
  if (value != Json(only))
    object.fail(key,
                fmt::format("found {}, expected {}: nothing else is implemented", value.dump(), Json(only).dump()));
}

// Checks keys that change the model in transformers. Accepts only the values that give the model implemented here.
void check_variants(JsonObject& object, Family family) {
  static const std::set<std::string> no = {"rope_interleaved",    "is_encoder_decoder", "add_cross_attention",
                                           "tie_encoder_decoder", "use_sliding_window", "use_mrope"};
  std::set<std::string> zero = {"hidden_dropout", "hidden_dropout_prob"};
  if (family == Family::llama) zero.insert({"resid_pdrop", "embd_pdrop", "attn_pdrop"});
  for (const std::string& key : object.keys()) {
    if (no.contains(key) && object.boolean(key))
      object.fail(key, "found true, expected false: nothing else is implemented");
    if (zero.contains(key)) require(object, key.c_str(), 0);
    if (key == "partial_rotary_factor" && object.number(key) != 1)
      object.fail(key, "expected 1: nothing else is implemented");
    if (key == "pruned_heads" && !object.raw(key).empty())
      object.fail(key, "expected no heads: nothing else is implemented");
    if (key != "layer_types") continue;
    for (const std::string& type : object.strings(key))
      if (type != "full_attention")
        object.fail(key, fmt::format("found '{}', expected full_attention: nothing else is implemented", type));
  }
}

enum class ModelType : uint8_t { llama, qwen3, gpt2 };
constexpr auto names_of(ModelType) { return enum_names("llama", "qwen3", "gpt2"); }
enum class LlamaActivation : uint8_t { silu, relu2 };
constexpr auto names_of(LlamaActivation) { return enum_names("silu", "relu2"); }
enum class Gpt2Activation : uint8_t { gelu_new, gelu };
constexpr auto names_of(Gpt2Activation) { return enum_names("gelu_new", "gelu"); }

constexpr double any = std::numeric_limits<float>::max();  // upper limit of numbers that kernels take in fp32

// The keys of LLaMA and Qwen3. Qwen3 is LLaMA with normalized queries and keys and an explicit head size.
void visit_llama(ModelConfig& config, bool qwen3, Section& keys) {
  keys.integer<1, most>({.name = "hidden_size", .help = "values per token", .required = true}, config.hidden);
  keys.integer<1, most>({.name = "intermediate_size", .help = "values per token inside the MLP", .required = true},
                        config.intermediate);
  keys.integer<1, 100000>({.name = "num_hidden_layers", .help = "blocks", .required = true}, config.layers);
  keys.integer<1, most>({.name = "num_attention_heads", .help = "heads of queries", .required = true}, config.heads);
  if (keys.reading()) config.kv_heads = config.heads;
  keys.integer<1, most>(
      {.name = "num_key_value_heads", .help = "heads of keys and values", .absent = "`num_attention_heads`"},
      config.kv_heads);
  if (keys.reading()) config.head_dim = qwen3 ? 128 : config.hidden / config.heads;
  keys.integer<1, most>(
      {.name = "head_dim", .help = "values per head", .absent = "`hidden_size` / `num_attention_heads`; 128 for Qwen3"},
      config.head_dim);
  keys.integer<2, most>({.name = "vocab_size", .help = "number of token ids", .required = true}, config.vocabulary);
  keys.integer<1, most>({.name = "max_position_embeddings", .help = "length of the longest sequence"},
                        config.positions);
  keys.other({.name = "max_sequence_length", .help = "the same, under the name in GaLore's files; at least 2048"}, {});
  keys.number({.name = "rms_norm_eps", .help = "epsilon of the norms"}, config.norm_eps, 0, 1);
  visit(*config.rope, keys);
  keys.flag({.name = "tie_word_embeddings", .help = "the head is the embedding table"}, config.tied);
  keys.number({.name = "initializer_range", .help = "standard deviation of initial weights"}, config.init_std, 0, any);
  keys.flag({.name = "attention_bias", .help = "q, k, v and o have biases"}, config.attention_bias);
  keys.number({.name = "attention_dropout", .help = "dropout rate of the softmax's weights"}, config.dropout.attention,
              0, any);
  LlamaActivation activation =
      config.activation == Activation::relu_squared ? LlamaActivation::relu2 : LlamaActivation::silu;
  keys.choice({.name = "hidden_act", .help = "`silu`, or `relu2`: max(x, 0)^2"}, activation);
  config.activation = activation == LlamaActivation::relu2 ? Activation::relu_squared : Activation::silu;
  keys.when(!qwen3, [&] {
    keys.flag({.name = "mlp_bias", .help = "the MLP has biases"}, config.mlp_bias);
    keys.flag({.name = "embedding_norm", .help = "an RMSNorm with gain follows the embedding"}, config.embedding_norm);
    keys.flag({.name = "head_bias", .help = "the head has a bias"}, config.head_bias);
    keys.choice({.name = "qk_norm",
                 .help = "`rms`: queries and keys of each head are divided by their RMS before RoPE; `rms_gain`: then "
                         "also multiplied by gains that all heads share; `none`"},
                config.qk_norm);
    keys.flag({.name = "gated_mlp", .help = "false: down(act(up(x))), without `gate_proj`"}, config.gated);
    keys.number({.name = "embedding_dropout", .help = "dropout rate of the embedding, as in llama2.c"},
                config.dropout.embedding, 0, any);
    keys.number(
        {.name = "residual_dropout", .help = "dropout rate of what attention and MLP add to the residual stream"},
        config.dropout.residual, 0, any);
  });
}

void visit_gpt2(ModelConfig& config, Section& keys) {
  keys.integer<1, most>({.name = "n_embd", .help = "values per token", .required = true}, config.hidden);
  keys.integer<1, 100000>({.name = "n_layer", .help = "blocks", .required = true}, config.layers);
  keys.integer<1, most>({.name = "n_head", .help = "heads", .required = true}, config.heads);
  if (keys.reading()) config.intermediate = 4 * config.hidden;
  keys.integer<1, most>({.name = "n_inner", .help = "values per token inside the MLP", .absent = "4 `n_embd`"},
                        config.intermediate);
  keys.integer<1, most>({.name = "n_positions", .help = "length of the longest sequence"}, config.positions);
  keys.integer<2, most>({.name = "vocab_size", .help = "number of token ids"}, config.vocabulary);
  keys.number({.name = "layer_norm_epsilon", .help = "epsilon of the norms"}, config.norm_eps, 0, 1);
  Gpt2Activation activation =
      config.activation == Activation::gelu_erf ? Gpt2Activation::gelu : Gpt2Activation::gelu_new;
  keys.choice({.name = "activation_function", .help = "`gelu_new`, by tanh, or `gelu`, exact"}, activation);
  config.activation = activation == Gpt2Activation::gelu ? Activation::gelu_erf : Activation::gelu_tanh;
  keys.flag({.name = "tie_word_embeddings", .help = "the head is the embedding table"}, config.tied);
  keys.number({.name = "initializer_range",
               .help = "standard deviation of initial weights; divided by the root of 2 `n_layer` for matrices that "
                       "write to the residual stream"},
              config.init_std, 0, any);
  keys.number({.name = "embd_pdrop", .help = "dropout rate of the embedding; OpenAI's own file has 0.1"},
              config.dropout.embedding, 0, any);
  keys.number({.name = "attn_pdrop", .help = "dropout rate of the softmax's weights"}, config.dropout.attention, 0,
              any);
  keys.number({.name = "resid_pdrop", .help = "dropout rate of what attention and MLP add to the residual stream"},
              config.dropout.residual, 0, any);
  keys.flag({.name = "bias", .help = "false: no biases"}, config.attention_bias);
  keys.flag({.name = "split_qkv", .help = "the optimizer gets q, k and v as separate matrices"}, config.split_qkv);
  keys.flag({.name = "scale_attn_by_inverse_layer_idx", .help = "layer l (from 0) divides its scores by l + 1"},
            config.scale_attn_by_inverse_layer_idx);
  keys.number({.name = "qk_clip", .help = "q and k are clamped to [-`qk_clip`, `qk_clip`]; 0: off"}, config.qk_clip, 0,
              any);
}

// The keys that every kind of model may have.
void visit_common(ModelConfig& config, const Json& initialization, Section& keys) {
  keys.positive({.name = "attention_scale", .help = "factor of the scores", .absent = "`head_dim`^-0.5"},
                config.attention_scale);
  keys.positive({.name = "logit_softcap", .help = "c: logits l become c l / sqrt(l^2 + c^2)"}, config.logit_softcap);
  keys.other(
      {.name = "initialization",
       .help = "a list of `{\"roles\": [...], \"names\": [\"*.o_proj.*\"], \"distribution\": ...}`, of which the first "
               "match applies; distributions: `zero`; `normal` with `std`; `uniform` in [-`bound`, `bound`]; `gain` "
               "stands for a `std` or `bound` of `gain` / sqrt(number of the layer's inputs)",
       .absent = "normal with `initializer_range`, biases 0, gains 1"},
      initialization);
}

ModelConfig default_model(ModelType type) {
  ModelConfig config;
  if (type != ModelType::gpt2) {
    config.rope.emplace();
    config.positions = 2048;
    return config;
  }
  config.family = Family::gpt2;
  config.norm = Norm::layer;
  config.norm_eps = 1e-5;
  config.norm_bias = config.attention_bias = config.mlp_bias = true;
  config.activation = Activation::gelu_tanh;
  config.gated = config.split_qkv = false;
  config.tied = true;
  config.positions = 1024;
  config.vocabulary = 50257;
  return config;
}

void visit_family(ModelConfig& config, ModelType type, Section& keys) {
  if (type == ModelType::gpt2)
    visit_gpt2(config, keys);
  else
    visit_llama(config, type == ModelType::qwen3, keys);
}

void check_dropout(JsonObject& object, const DropoutRates& rates, const std::array<const char*, 3>& keys) {
  const double values[] = {rates.embedding, rates.attention, rates.residual};
  for (size_t i = 0; i < keys.size(); ++i)
    if (values[i] >= 1) object.fail(keys[i], fmt::format("found {}, expected at least 0 and below 1", values[i]));
}

void finish_llama(JsonObject& object, ModelConfig& config, bool qwen3) {
  if (config.hidden % config.heads && !qwen3 && !object.has("head_dim"))
    object.fail("num_attention_heads",
                fmt::format("found {}, expected a divisor of hidden_size {}", config.heads, config.hidden));
  if (config.heads % config.kv_heads)
    object.fail("num_key_value_heads",
                fmt::format("found {}, expected a divisor of {}, the attention heads", config.kv_heads, config.heads));
  if (config.head_dim % 2)
    object.fail(object.has("head_dim") ? "head_dim" : "num_attention_heads",
                fmt::format("found a head dimension of {}, expected an even one for RoPE", config.head_dim));
  check_rope(object, *config.rope, config.head_dim);
  check_dropout(object, config.dropout, {"embedding_dropout", "attention_dropout", "residual_dropout"});
  config.residual_init_std = config.init_std;
  if (!qwen3) return;
  config.qk_norm = HeadNorm::rms_gain;
  for (const char* key : {"sliding_window", "max_window_layers"})  // these have no effect without use_sliding_window
    if (object.has(key)) object.raw(key);
}

void finish_gpt2(JsonObject& object, ModelConfig& config) {
  config.kv_heads = config.heads;
  config.norm_bias = config.mlp_bias = config.attention_bias;
  config.residual_init_std = config.init_std / std::sqrt(2.0 * static_cast<double>(config.layers));
  check_dropout(object, config.dropout, {"embd_pdrop", "attn_pdrop", "resid_pdrop"});
  require(object, "scale_attn_weights", true);
  // transformers gives these sizes second names (attribute_map of GPT2Config).
  for (const auto& [again, key, size] : {std::tuple("hidden_size", "n_embd", config.hidden),
                                         {"num_hidden_layers", "n_layer", config.layers},
                                         {"num_attention_heads", "n_head", config.heads},
                                         {"max_position_embeddings", "n_positions", config.positions}})
    if (object.has(again) && object.integer(again) != size)
      object.fail(again, fmt::format("found {}, expected {} as in {}", object.integer(again), size, key));
  if (config.hidden % config.heads)
    object.fail("n_head", fmt::format("found {}, expected a divisor of n_embd {}", config.heads, config.hidden));
  config.head_dim = config.hidden / config.heads;
}

// Limits the numbers of the config so that their products do not overflow. heads * head_dim is at most 2^31, and
// weight_count() at most 2^44.
void check_size(const JsonObject& object, const ModelConfig& config) {
  if (config.heads > most / config.head_dim)
    object.fail(object.has("head_dim") ? "head_dim" : "num_attention_heads",
                fmt::format("found {} heads of {} values, expected at most {} values together", config.heads,
                            config.head_dim, most));
  constexpr double most_weights = 0x1p44;
  const double count = weight_count(config);
  if (count <= most_weights) return;
  const SizeKey key = largest_key(config);
  object.fail(key.name, fmt::format("found {}, which makes {:.3g} weights, expected at most {:.3g}", key.value, count,
                                    most_weights));
}

}  // namespace

AttentionShape ModelConfig::attention(int64_t batch, int64_t seq, int64_t layer) const {
  double scale = attention_scale > 0 ? attention_scale : 1 / std::sqrt(static_cast<double>(head_dim));
  if (scale_attn_by_inverse_layer_idx) scale /= static_cast<double>(layer + 1);
  return AttentionShape{batch, seq, heads, kv_heads, head_dim, static_cast<float>(scale)};
}

ModelConfig parse_model(JsonObject object) {
  object.ignore_nulls();
  const auto type = named<ModelType>("model_type", object.choice("model_type", all_names<ModelType>()));
  ModelConfig config = default_model(type);
  if (type != ModelType::gpt2) {
    config.rope = parse_rope_scaling(object);
    if (object.has("max_sequence_length"))  // transformers ignores this key and uses 2048, but RoPE sets no limit
      config.positions = std::max<int64_t>(2048, object.integer("max_sequence_length", {}, 1, most));
  }
  const Json initialization = object.has("initialization") ? object.raw("initialization") : Json();
  auto keys_of = [&](Section& keys) {
    visit_family(config, type, keys);
    visit_common(config, initialization, keys);
  };
  read_keys(object, keys_of);
  if (type == ModelType::gpt2)
    finish_gpt2(object, config);
  else
    finish_llama(object, config, type == ModelType::qwen3);
  check_size(object, config);
  config.initialization = parse_initialization(object, "initialization");
  check_variants(object, config.family);
  config.resolved = {{"model_type", name_of(type)}};
  config.resolved.update(write_keys(keys_of));
  for (const std::string& key : object.keys())
    if (bookkeeping.contains(key)) config.resolved[key] = object.raw(key);
  object.finish();
  try {
    parameter_table(config);
  } catch (const Error& error) {
    object.fail("initialization", error.what());
  }
  return config;
}

std::map<std::string, std::vector<KeyRow>> model_keys() {
  std::map<std::string, std::vector<KeyRow>> rows;
  for (const auto& [name, type] :
       {std::pair("model.llama", ModelType::llama), std::pair("model.gpt2", ModelType::gpt2)}) {
    ModelConfig config = default_model(type);
    rows[name] = list_keys([&, type = type](Section& keys) { visit_family(config, type, keys); });
    rows["model"] = list_keys([&](Section& keys) { visit_common(config, {}, keys); });
  }
  return rows;
}

std::vector<std::string> missing_model_keys(JsonObject object) {
  object.ignore_nulls();
  const std::vector<KeyRow> type = {{.name = "model_type", .help = {}, .fallback = {}, .required = true}};
  if (!object.has("model_type")) return missing_keys(object, type);
  return missing_keys(object, model_keys()[object.string("model_type") == "gpt2" ? "model.gpt2" : "model.llama"]);
}

ModelConfig load_model(const std::string& path) {
  auto source = std::make_shared<const JsonSource>(JsonSource{path, read_file(path)});
  Json json = parse_json(*source);
  return parse_model(JsonObject(source, json));
}

std::vector<std::pair<std::string, std::string>> function_keys(const ModelConfig& config) {
  std::vector<std::pair<std::string, std::string>> keys;
  auto add = [&](const char* key, const auto& value) { keys.emplace_back(key, fmt::format("{}", value)); };
  add("the number of heads", config.heads);
  add("the number of key/value heads", config.kv_heads);
  add("the norm's epsilon", config.norm_eps);
  add("qk_norm", name_of(config.qk_norm));
  if (config.rope) {
    const Rope& rope = *config.rope;
    add("rope_theta", rope.theta);
    add("rope_fraction", rope.fraction);
    add("rope_frequencies", name_of(rope.frequencies));
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
