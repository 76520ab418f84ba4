#include "model/layout.h"

#include <cmath>

#include "base/random.h"

namespace rowan {
namespace {

class Builder {
 public:
  explicit Builder(const ModelConfig& config) : config_(config) {}

  ParameterTable build() {
    if (config_.family == Family::llama)
      llama();
    else
      gpt2();
    return std::move(table_);
  }

 private:
  void matrix(const std::string& name, int64_t out, int64_t in, double std, bool aligned = true) {
    add(name + ".weight", Role::matrix, {out, in}, 0, std, aligned);
  }
  // Its rows are heads.
  void heads(const std::string& name, int64_t out, bool aligned = true) {
    add(name + ".weight", Role::matrix, {out, config_.hidden}, 0, config_.init_std, aligned, config_.head_dim);
  }
  // The rows that the logits' width adds lie behind it.
  void words(const std::string& name, Role role) {
    add(name, role, {config_.vocabulary, config_.hidden}, 0, config_.init_std);
    table_.leave_room((config_.logit_width() - config_.vocabulary) * config_.hidden);
  }
  void norm(const std::string& name) {
    add(name + ".weight", Role::norm, {config_.hidden}, 1, 0);
    if (config_.bias) add(name + ".bias", Role::bias, {config_.hidden}, 0, 0);
  }
  void bias(const std::string& name, int64_t out, bool aligned = true) {
    if (config_.bias) add(name + ".bias", Role::bias, {out}, 0, 0, aligned);
  }
  void add(const std::string& name, Role role, std::vector<int64_t> shape, double mean, double std, bool aligned = true,
           int64_t head_rows = 0) {
    table_.add(Parameter{name, role, std::move(shape), 0, block_, mean, std, head_rows}, aligned);
  }

  void llama() {
    const ModelConfig& c = config_;
    const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
    words("model.embed_tokens.weight", Role::embedding);
    for (int64_t l = 0; l < c.layers; ++l) {
      block_ = static_cast<int>(l) + 1;
      const std::string layer = "model.layers." + std::to_string(l) + ".";
      norm(layer + "input_layernorm");
      heads(layer + "self_attn.q_proj", q);
      heads(layer + "self_attn.k_proj", kv, false);
      heads(layer + "self_attn.v_proj", kv, false);
      matrix(layer + "self_attn.o_proj", c.hidden, q, c.residual_init_std);
      norm(layer + "post_attention_layernorm");
      matrix(layer + "mlp.gate_proj", c.intermediate, c.hidden, c.init_std);
      matrix(layer + "mlp.up_proj", c.intermediate, c.hidden, c.init_std, false);
      matrix(layer + "mlp.down_proj", c.hidden, c.intermediate, c.residual_init_std);
    }
    block_ = static_cast<int>(c.layers) + 1;
    norm("model.norm");
    if (!c.tied) words("lm_head.weight", Role::head);
  }

  void gpt2() {
    const ModelConfig& c = config_;
    const std::string model = "transformer.";
    words(model + "wte.weight", Role::embedding);
    add(model + "wpe.weight", Role::embedding, {c.positions, c.hidden}, 0, c.init_std);
    for (int64_t l = 0; l < c.layers; ++l) {
      block_ = static_cast<int>(l) + 1;
      const std::string layer = model + "h." + std::to_string(l) + ".";
      norm(layer + "ln_1");
      if (c.split_qkv) {
        for (const char* part : {"q_attn", "k_attn", "v_attn"}) heads(layer + "attn." + part, c.hidden, *part == 'q');
        for (const char* part : {"q_attn", "k_attn", "v_attn"}) bias(layer + "attn." + part, c.hidden, *part == 'q');
      } else {
        heads(layer + "attn.c_attn", 3 * c.hidden);
        bias(layer + "attn.c_attn", 3 * c.hidden);
      }
      matrix(layer + "attn.c_proj", c.hidden, c.hidden, c.residual_init_std);
      bias(layer + "attn.c_proj", c.hidden);
      norm(layer + "ln_2");
      matrix(layer + "mlp.c_fc", c.intermediate, c.hidden, c.init_std);
      bias(layer + "mlp.c_fc", c.intermediate);
      matrix(layer + "mlp.c_proj", c.hidden, c.intermediate, c.residual_init_std);
      bias(layer + "mlp.c_proj", c.hidden);
    }
    block_ = static_cast<int>(c.layers) + 1;
    norm(model + "ln_f");
    if (!c.tied) words("lm_head.weight", Role::head);
  }

  const ModelConfig& config_;
  ParameterTable table_;
  int block_ = 0;
};

uint64_t hash_of(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a
  for (unsigned char c : name) hash = (hash ^ c) * 0x100000001b3ull;
  return hash;
}

}  // namespace

ParameterTable parameter_table(const ModelConfig& config) { return Builder(config).build(); }

void initial_values(const Parameter& parameter, uint64_t seed, int64_t begin, int64_t count, float* values) {
  const uint64_t stream = hash_of(parameter.name);
#pragma omp parallel for
  for (int64_t i = 0; i < count; ++i) {
    double value = parameter.init_mean;
    if (parameter.init_std > 0) {
      Philox draw = philox(seed, static_cast<uint64_t>(begin + i), stream);
      double u = (draw.word[0] + 1.0) * 0x1p-32, v = draw.word[1] * 0x1p-32;
      value += parameter.init_std * std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v);
    }
    values[i] = static_cast<float>(value);
  }
}

}  // namespace rowan
