#include "model/layout.h"

#include <fmt/format.h>

#include "base/error.h"

namespace rowan {
namespace {

class Builder {
 public:
  explicit Builder(const ModelConfig& config)
      : config_(config), names_(names_of(config)), used_(config.initialization.size()) {}

  ParameterTable build() {
    const ModelConfig& c = config_;
    words(names_.tokens, Role::embedding);
    if (!c.rope) add({names_.positions + ".weight", Role::embedding, {c.positions, c.hidden}}, 0, c.init_std);
    if (c.embedding_norm) norm(names_.embedding_norm);
    for (int64_t l = 0; l < c.layers; ++l) layer(l);
    block_ = static_cast<int>(c.layers) + 1;
    norm(names_.norm);
    if (!c.tied) words(names_.head, Role::head);
    if (c.head_bias) {
      add({names_.head + ".bias", Role::bias, {c.vocabulary}}, c.hidden, 0);
      table_.leave_room(c.logit_width() - c.vocabulary);
    }
    for (size_t i = 0; i < used_.size(); ++i)
      if (!used_[i]) fail("entry {}: matches no parameter, or only parameters that earlier entries match", i);
    return std::move(table_);
  }

 private:
  void add(Parameter parameter, int64_t fan_in, double std, bool aligned = true) {
    parameter.block = block_;
    parameter.init_std = std;
    if (const auto rule = apply_initialization(config_.initialization, parameter, fan_in)) used_[*rule] = true;
    table_.add(std::move(parameter), aligned);
  }
  // Adds a table with a row for each token id, then room for padding rows up to logit_width() rows.
  void words(const std::string& name, Role role) {
    add({name + ".weight", role, {config_.vocabulary, config_.hidden}}, role == Role::head ? config_.hidden : 0,
        config_.init_std);
    table_.leave_room((config_.logit_width() - config_.vocabulary) * config_.hidden);
  }
  void norm(const std::string& name) {
    gain(name, config_.hidden);
    if (config_.norm_bias) add({name + ".bias", Role::bias, {config_.hidden}}, 0, 0);
  }
  void gain(const std::string& name, int64_t width, bool aligned = true) {
    Parameter parameter{name + ".weight", Role::norm, {width}};
    parameter.init_mean = 1;
    add(std::move(parameter), 0, 0, aligned);
  }
  // Adds a linear layer. Its outputs may be split over several matrices. `head_rows` and `head_cols` are the numbers of
  // rows and columns per attention head, or 0 if they belong to no head.
  void linear(const std::vector<std::string>& names, const std::vector<int64_t>& outs, int64_t in, bool bias,
              double std, int64_t head_rows = 0, int64_t head_cols = 0) {
    for (size_t i = 0; i < names.size(); ++i) {
      Parameter parameter{names[i] + ".weight", Role::matrix, {outs[i], in}};
      parameter.head_rows = head_rows;
      parameter.head_cols = head_cols;
      add(std::move(parameter), in, std, i == 0);
    }
    for (size_t i = 0; bias && i < names.size(); ++i) add({names[i] + ".bias", Role::bias, {outs[i]}}, in, 0, i == 0);
  }

  void layer(int64_t l) {
    const ModelConfig& c = config_;
    const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
    block_ = static_cast<int>(l) + 1;
    LayerNames n = names_.layer;
    for (std::string* name : {&n.norm1, &n.query_norm, &n.key_norm, &n.out, &n.norm2, &n.down})
      *name = names_.in_layer(l, *name);
    for (auto* list : {&n.qkv, &n.up})
      for (std::string& name : *list) name = names_.in_layer(l, name);
    norm(n.norm1);
    linear(n.qkv, n.qkv.size() == 1 ? std::vector{q + 2 * kv} : std::vector{q, kv, kv}, c.hidden, c.attention_bias,
           c.init_std, c.head_dim);
    if (c.qk_norm == HeadNorm::rms_gain) {
      gain(n.query_norm, c.head_dim);
      gain(n.key_norm, c.head_dim, false);
    }
    linear({n.out}, {c.hidden}, q, c.attention_bias, c.residual_init_std, 0, c.head_dim);
    norm(n.norm2);
    linear(n.up, std::vector<int64_t>(n.up.size(), c.intermediate), c.hidden, c.mlp_bias, c.init_std);
    linear({n.down}, {c.hidden}, c.intermediate, c.mlp_bias, c.residual_init_std);
  }

  const ModelConfig& config_;
  ParameterNames names_;
  std::vector<bool> used_;  // for each initialization rule, whether it applies to a parameter
  ParameterTable table_;
  int block_ = 0;
};

}  // namespace

std::string ParameterNames::in_layer(int64_t layer, const std::string& name) const {
  return fmt::format("{}.{}.{}", layers, layer, name);
}

ParameterNames names_of(const ModelConfig& config) {
  ParameterNames n;
  n.head = "lm_head";
  if (config.family == Family::llama) {
    n.tokens = "model.embed_tokens", n.embedding_norm = "model.embed_norm";
    n.norm = "model.norm", n.layers = "model.layers";
    n.layer.norm1 = "input_layernorm", n.layer.norm2 = "post_attention_layernorm";
    n.layer.qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"};
    n.layer.query_norm = "self_attn.q_norm", n.layer.key_norm = "self_attn.k_norm";
    n.layer.out = "self_attn.o_proj", n.layer.down = "mlp.down_proj";
    if (config.gated) n.layer.up.push_back("mlp.gate_proj");
    n.layer.up.push_back("mlp.up_proj");
  } else {
    n.tokens = "transformer.wte", n.positions = "transformer.wpe";
    n.norm = "transformer.ln_f", n.layers = "transformer.h";
    n.layer.norm1 = "ln_1", n.layer.norm2 = "ln_2";
    n.layer.qkv = {"attn.c_attn"};
    if (config.split_qkv) n.layer.qkv = {"attn.q_attn", "attn.k_attn", "attn.v_attn"};
    n.layer.out = "attn.c_proj", n.layer.up = {"mlp.c_fc"}, n.layer.down = "mlp.c_proj";
  }
  return n;
}

ParameterTable parameter_table(const ModelConfig& config) { return Builder(config).build(); }

}  // namespace rowan
