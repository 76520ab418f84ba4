// ModelConfig: one transformer. Its keys are those of Hugging Face's config.json for LLaMA, Qwen3 and GPT-2, and
// further keys for features that these models lack (configs/README.md).
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

enum class Family : uint8_t { llama, gpt2 };

// The norm that is applied to each head of q and k before RoPE.
enum class HeadNorm : uint8_t { none, rms, rms_gain };
constexpr auto names_of(HeadNorm) { return enum_names("none", "rms", "rms_gain"); }

// Dropout rates. nanoGPT and llama2.c apply dropout at these places too.
struct DropoutRates {
  double embedding = 0;  // applied to the sum of the embeddings
  double attention = 0;  // applied to the softmax weights
  double residual = 0;   // applied to the outputs of attention and MLP, before they are added to the residual stream

  bool any() const { return embedding > 0 || attention > 0 || residual > 0; }
};

struct ModelConfig {
  Family family = Family::llama;
  int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0, vocabulary = 0;
  int64_t positions = 0;  // length of the longest sequence; without RoPE, also the number of rows of the position table
  Norm norm = Norm::rms;
  double norm_eps = 1e-6;
  bool norm_bias = false, embedding_norm = false;
  HeadNorm qk_norm = HeadNorm::none;
  bool attention_bias = false, mlp_bias = false, head_bias = false;
  bool tied = false;  // the head shares the embedding table
  bool split_qkv = true;
  // If absent, positions are represented by a table of learned embeddings.
  std::optional<Rope> rope;
  double attention_scale = 0;  // factor of the attention scores; 0: head_dim^-0.5
  // Two features of the GPT-2 model in the code of the RMNP paper. scale_attn_by_inverse_layer_idx: layer l, counted
  // from 0, divides its attention scale by l + 1. qk_clip: the elements of q and k are clamped to [-qk_clip, qk_clip];
  // 0: not clamped.
  bool scale_attn_by_inverse_layer_idx = false;
  double qk_clip = 0;
  // The MLP: down(act(up(x))), or gated: down(act(gate(x)) * up(x)).
  Activation activation = Activation::silu;
  bool gated = true;
  DropoutRates dropout;
  double logit_softcap = 0;  // c: a logit l becomes c l / sqrt(l^2 + c^2); 0: none
  // Initial values. Matrices, embeddings and the output head get normal values with these standard deviations, unless
  // they match a rule of `initialization`. residual_init_std is for the projections that write to the residual stream.
  double init_std = 0.02, residual_init_std = 0.02;
  std::vector<InitialRule> initialization;

  Json resolved;  // all keys of the config with their values, defaults included

  AttentionShape attention(int64_t batch, int64_t seq, int64_t layer) const;
  // Columns of the MLP's first matrix product: gate and up together, or up alone.
  int64_t mlp_in_width() const { return gated ? 2 * intermediate : intermediate; }
  // Columns of the logits: the vocabulary and padding columns. GPUs multiply faster if the size of a row is a multiple
  // of 16 bytes, and still faster if a row is a whole number of cache lines and tiles. From a vocabulary of 12800 on,
  // the width is a multiple of 128, which adds less than 1%. Below, it is a multiple of 8.
  int64_t logit_width() const {
    const int64_t unit = vocabulary >= 12800 ? 128 : 8;
    return (vocabulary + unit - 1) / unit * unit;
  }
};

// Reads an object with the keys of a config.json. Throws Error for unknown keys, for values that this transformer does
// not support, and for impossible sizes.
ModelConfig parse_model(JsonObject object);

// For configs/README.md: the keys of each kind of model. The entry "model" has the keys that all kinds share.
std::map<std::string, std::vector<KeyRow>> model_keys();
// The required keys that `object` lacks (base/section.h).
std::vector<std::string> missing_model_keys(JsonObject object);

// Reads a model's config.json, a published one or Rowan's. Throws Error that names the file and the key.
ModelConfig load_model(const std::string& path);

// FLOPs of the matrix products in training, per token and without recomputation: 6 for each weight that is multiplied,
// including the head, plus attention. These FLOPs are counted by running both passes on a dry backend (kernels/dry).
// `full` counts every attention score, as PaLM does. `causal` counts only the unmasked scores, about half of all
// scores, as llm.c does.
struct TrainingFlops {
  double full, causal;
  double attention;  // the part of `causal` that belongs to attention

  // FLOPs if only the fraction `share` of the causal scores is computed, as with attention within documents.
  double within(double share) const { return causal - (1 - share) * attention; }
};
TrainingFlops flops_per_token(const ModelConfig& config, int64_t seq);

// Settings that change what a model computes, as pairs of name and value: heads, norms, RoPE, activation and attention.
// Two models of one family have the same names in the same order.
std::vector<std::pair<std::string, std::string>> function_keys(const ModelConfig& config);

}  // namespace rowan
