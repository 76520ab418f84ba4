// ModelConfig: one transformer, described in the keys of Hugging Face's config.json for LLaMA and GPT-2.
#pragma once

#include "base/json.h"
#include "kernels/backend.h"

namespace rowan {

enum class Family : uint8_t { llama, gpt2 };  // whose parameter names are used

struct ModelConfig {
  Family family = Family::llama;
  int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0, vocabulary = 0;
  int64_t positions = 0;  // longest sequence: rows of the position table, or the context RoPE is declared for
  Norm norm = Norm::rms;
  double norm_eps = 1e-6;
  bool rope = true;
  double rope_theta = 10000;
  bool swiglu = true;
  Gelu gelu = Gelu::tanh;
  bool bias = false;  // linear layers and LayerNorm
  bool tied = false;  // the head is the embedding table
  bool split_qkv = true;
  double init_std = 0.02, residual_init_std = 0.02;  // residual: the projections that write to the residual stream
  // Published oddities of RMNP's GPT-2: layer l divides its attention scale by l + 1; q and k are clamped to +-qk_clip.
  bool scale_attn_by_inverse_layer_idx = false;
  double qk_clip = 0;

  Json source;  // the keys as given

  AttentionShape attention(int64_t batch, int64_t seq, int64_t layer) const;
  // Columns of the first MLP product: gate and up, or GPT-2's c_fc.
  int64_t mlp_in_width() const { return swiglu ? 2 * intermediate : intermediate; }
  // Columns of the logits: the vocabulary and up to 7 more, whose weights are zeros. GPUs multiply rows fast whose
  // length is a multiple of 16 bytes, and 50257 is odd.
  int64_t logit_width() const { return (vocabulary + 7) / 8 * 8; }
};

// Reads a Hugging Face style object. Unknown keys, values this transformer cannot honour (rope_scaling, dropout,
// attention_bias of LLaMA) and impossible sizes throw Error.
ModelConfig parse_model(JsonObject object);

// Reads a config file.
ModelConfig load_model(const std::string& path);

// Floating point operations of the products in training on one token, without recomputation, counted by running the
// passes: 6 for each weight that multiplies it (the head's included), and attention with every score (full, as PaLM
// counts) or with those that the mask leaves (causal, about half, as llm.c counts).
struct TrainingFlops {
  double full, causal;
};
TrainingFlops flops_per_token(const ModelConfig& config, int64_t seq);

// A config.json that transformers opens.
Json hugging_face_config(const ModelConfig& config);

}  // namespace rowan
