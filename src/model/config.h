// ModelConfig: one transformer, described in the keys of Hugging Face's config.json for LLaMA,
// Qwen3 and GPT-2, and further ones for what those do not have (configs/README.md).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "model/initialization.h"
#include "model/rope.h"

namespace rowan {

enum class Family : uint8_t { llama, gpt2 };  // whose parameter names are used

// Of q and k, each head by itself, before they are rotated.
enum class HeadNorm : uint8_t { none, rms, rms_gain };
constexpr auto names_of(HeadNorm) { return enum_names("none", "rms", "rms_gain"); }

// Rates of what training leaves out, in the places where nanoGPT and llama2.c do it.
struct DropoutRates {
  double embedding = 0;  // of the sum of the embeddings
  double attention = 0;  // of the softmax's weights
  double residual = 0;   // of what attention and MLP add to the residual stream

  bool any() const { return embedding > 0 || attention > 0 || residual > 0; }
};

struct ModelConfig {
  Family family = Family::llama;
  int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0, vocabulary = 0;
  int64_t positions = 0;  // longest sequence: rows of the position table, or the context RoPE is declared for
  // Norms.
  Norm norm = Norm::rms;
  double norm_eps = 1e-6;
  bool norm_bias = false, embedding_norm = false;
  HeadNorm qk_norm = HeadNorm::none;
  // Projections.
  bool attention_bias = false, mlp_bias = false, head_bias = false;
  bool tied = false;  // the head is the embedding table
  bool split_qkv = true;
  // Positions: rotary, or a table.
  std::optional<Rope> rope;
  // Mixing.
  double attention_scale = 0;  // 0: head_dim^-0.5
  // Published oddities of RMNP's GPT-2: layer l divides its attention scale by l + 1; q and k are clamped to +-qk_clip.
  bool scale_attn_by_inverse_layer_idx = false;
  double qk_clip = 0;
  // Activation of the MLP: down(act(up(x))), or gated, down(act(gate(x)) * up(x)).
  Activation activation = Activation::silu;
  bool gated = true;
  DropoutRates dropout;
  double logit_softcap = 0;  // c: logits become c l / sqrt(l^2 + c^2); 0: none
  // Initial values: `initialization` first, then normal with these; residual: the projections that write to the stream.
  double init_std = 0.02, residual_init_std = 0.02;
  std::vector<InitialRule> initialization;

  Json resolved;  // every key with its value, and those that do not matter as they were given

  AttentionShape attention(int64_t batch, int64_t seq, int64_t layer) const;
  // Columns of the first MLP product: gate and up, or GPT-2's c_fc.
  int64_t mlp_in_width() const { return gated ? 2 * intermediate : intermediate; }
  // Columns of the logits: the vocabulary and a few more, whose weights are zeros. GPUs multiply rows fast whose length
  // is a multiple of 16 bytes, faster those of whole cache lines and tiles, and 50257 is odd: a multiple of 128 where
  // that is at most 1% more, else of 8.
  int64_t logit_width() const {
    const int64_t unit = vocabulary >= 12800 ? 128 : 8;
    return (vocabulary + unit - 1) / unit * unit;
  }
};

// Reads a Hugging Face style object. Unknown keys, values this transformer cannot honour and impossible sizes throw
// Error.
ModelConfig parse_model(JsonObject object);

// The keys of each kind of model, for configs/README.md; "model": what every kind may have.
std::map<std::string, std::vector<KeyRow>> model_keys();
// The required keys that an object lacks (base/section.h).
std::vector<std::string> missing_model_keys(JsonObject object);

// Reads a config file.
ModelConfig load_model(const std::string& path);

// Floating point operations of the products in training on one token, without recomputation, counted by running the
// passes: 6 for each weight that multiplies it (the head's included), and attention with every score (full, as PaLM
// counts) or with those that the mask leaves (causal, about half, as llm.c counts).
struct TrainingFlops {
  double full, causal;
  double attention;  // part of `causal`

  // With so much of the causal scores left, as within documents.
  double within(double share) const { return causal - (1 - share) * attention; }
};
TrainingFlops flops_per_token(const ModelConfig& config, int64_t seq);

// A config.json that transformers opens. Throws Error naming the key when it has no such model.
Json hugging_face_config(const ModelConfig& config);

// What makes another function of weights of the same names and shapes: keys and their values, in a fixed order.
std::vector<std::pair<std::string, std::string>> function_keys(const ModelConfig& config);

}  // namespace rowan
