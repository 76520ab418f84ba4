// ModelConfig: one transformer, described by the keys of Hugging Face's config.json for LLaMA, Qwen3 and GPT-2, and by
// further keys for what those lack (configs/README.md).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "kernels/model_rules.h"
#include "model/initialization.h"
#include "model/rope.h"

namespace rowan {

enum class Family : uint8_t { llama, gpt2 };  // selects the parameter names

// The norm of each head of q and k before RoPE.
enum class HeadNorm : uint8_t { none, rms, rms_gain };
constexpr auto names_of(HeadNorm) { return enum_names("none", "rms", "rms_gain"); }

// Dropout rates. Dropout acts where nanoGPT and llama2.c apply it.
struct DropoutRates {
  double embedding = 0;  // on the sum of the embeddings
  double attention = 0;  // on the softmax weights
  double residual = 0;   // on the outputs of attention and MLP, before the residual add

  bool any() const { return embedding > 0 || attention > 0 || residual > 0; }
};

struct ModelConfig {
  Family family = Family::llama;
  int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0, vocabulary = 0;
  int64_t positions = 0;  // longest sequence: rows of the position table, or the context length declared for RoPE
  // Norms.
  Norm norm = Norm::rms;
  double norm_eps = 1e-6;
  bool norm_bias = false, embedding_norm = false;
  HeadNorm qk_norm = HeadNorm::none;
  // Projections.
  bool attention_bias = false, mlp_bias = false, head_bias = false;
  bool tied = false;  // the head shares the embedding table
  bool split_qkv = true;
  // Positions: rotary, or a table.
  std::optional<Rope> rope;
  // Attention.
  double attention_scale = 0;  // scale of the scores; 0: head_dim^-0.5
  // Peculiarities of the GPT-2 published with RMNP: layer l (from 0) divides its attention scale by l + 1, and q and k
  // are clamped to [-qk_clip, qk_clip].
  bool scale_attn_by_inverse_layer_idx = false;
  double qk_clip = 0;
  // The MLP: down(act(up(x))), or gated: down(act(gate(x)) * up(x)).
  Activation activation = Activation::silu;
  bool gated = true;
  DropoutRates dropout;
  double logit_softcap = 0;  // c: logits become c l / sqrt(l^2 + c^2); 0: none
  // Initial values. Weights that match no rule of `initialization` are normal with these standard deviations.
  // residual_init_std is for the projections that write to the residual stream.
  double init_std = 0.02, residual_init_std = 0.02;
  std::vector<InitialRule> initialization;

  Json resolved;  // every key with its value; keys without effect are kept as given

  AttentionShape attention(int64_t batch, int64_t seq, int64_t layer) const;
  // Columns of the MLP's first product: gate and up together, or GPT-2's c_fc.
  int64_t mlp_in_width() const { return gated ? 2 * intermediate : intermediate; }
  // Columns of the logits: the vocabulary, padded with columns whose weights are zero. GPUs multiply faster if rows are
  // multiples of 16 bytes, and still faster for whole cache lines and tiles, but GPT-2's vocabulary of 50257 is odd.
  // The padded width is a multiple of 128 if that adds at most 1%, else of 8.
  int64_t logit_width() const {
    const int64_t unit = vocabulary >= 12800 ? 128 : 8;
    return (vocabulary + unit - 1) / unit * unit;
  }
};

// Reads a Hugging Face style object. Throws Error for unknown keys, for values that this transformer does not
// implement, and for impossible sizes.
ModelConfig parse_model(JsonObject object);

// The keys of each kind of model, for configs/README.md; "model" has the keys that all kinds share.
std::map<std::string, std::vector<KeyRow>> model_keys();
// The required keys that `object` lacks (base/section.h).
std::vector<std::string> missing_model_keys(JsonObject object);

// Reads a config file.
ModelConfig load_model(const std::string& path);

// FLOPs of matrix products in training on one token, without recomputation: 6 for each weight that multiplies the token
// (including the head's), plus attention. They are counted by running the passes on a dry backend. `full` counts every
// attention score, as PaLM does. `causal` counts only unmasked scores, about half, as llm.c does.
struct TrainingFlops {
  double full, causal;
  double attention;  // the part of `causal` that attention needs

  // FLOPs if only this share of the causal scores remains, as with attention within documents.
  double within(double share) const { return causal - (1 - share) * attention; }
};
TrainingFlops flops_per_token(const ModelConfig& config, int64_t seq);

// A config.json that transformers can open. Throws Error naming the key if transformers has no such model.
Json hugging_face_config(const ModelConfig& config);

// The keys that change what a model computes but not the names or shapes of its weights, with their values, in a fixed
// order.
std::vector<std::pair<std::string, std::string>> function_keys(const ModelConfig& config);

}  // namespace rowan
