// Binding a model to memory: flat parameter buffers, views of them, activations.
#include "model/model.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/floats.h"
#include "model/block.h"

namespace rowan {

// A piece takes no more than what a block keeps for its backward, or 128 MiB where that is less, or 1 GiB where it is
// more: each piece passes once over the gradient of the head, which few rows would not be worth.
int64_t logit_chunk_rows(const ModelConfig& config, int64_t tokens, DType dtype) {
  constexpr int64_t least_bytes = int64_t{128} << 20, most_bytes = int64_t{1} << 30, tile = 128;  // rows of products
  const AttentionShape shape = config.attention(1, 1, 0);
  const int64_t size = static_cast<int64_t>(size_of(dtype)),
                block = 4 * config.hidden + shape.qkv_width() + shape.out_width() + config.mlp_in_width() +
                        config.intermediate,
                bytes = std::clamp(block * tokens * size, least_bytes, most_bytes);
  const int64_t most = std::clamp<int64_t>(bytes / (config.logit_width() * size), 1, tokens);
  const int64_t pieces = (tokens + most - 1) / most, even = (tokens + pieces - 1) / pieces;
  const int64_t whole_tiles = (even + tile - 1) / tile * tile;
  return whole_tiles <= most ? whole_tiles : even;
}

Model::Model(Backend& backend, const ModelConfig& config, const ModelOptions& options)
    : backend_(backend),
      config_(config),
      options_(options),
      table_(parameter_table(config)),
      weight_placement_(table_, options.resident_weights),
      gradient_placement_(table_, options.resident_gradients),
      weight_memory_(backend, Category::weights),
      gradient_memory_(backend, Category::gradients),
      activation_memory_(backend, Category::activations),
      workspace_(backend, Category::workspace) {
  if (options.seq > config.positions)
    fail("model: sequence length {} is longer than the {} positions of the model", options.seq, config.positions);
  const Limits most = backend.limits();
  auto check_limit = [&](const char* field, int64_t found, int64_t allowed) {
    if (found > allowed)
      fail("model: {} is {}, must be at most {} on the device \"{}\"", field, found, allowed, backend.name());
  };
  check_limit("head_dim (hidden_size / num_attention_heads)", config.head_dim, most.head_dim);
  check_limit("hidden_size", config.hidden, most.norm_width);
  check_limit("micro_batch", options.batch, most.batch);
  if (options.training) backend.plan_attention(config.attention(options.batch, options.seq, 0), options.compute);
  if (options.growing && (options.training || options.batch != 1))
    fail("model: a growing sequence is one sequence without training, the batch is {}", options.batch);
  weights_ = weight_memory_.take(options.compute, {weight_placement_.elements()});
  if (options.training) gradients_ = gradient_memory_.take(options.gradient, {gradient_placement_.elements()});
  bind();
  take_activations();
}

Model::~Model() = default;

void Model::bind() {
  const ModelConfig& c = config_;
  const bool llama = c.family == Family::llama;
  const std::string model = llama ? "model." : "transformer.";
  auto find = [&](const Placement& place, Tensor flat, const std::string& name) {
    return flat.empty() ? Tensor() : place.in(flat, table_.find(name));
  };
  // `rows` of a parameter and of what lies behind it, as one tensor.
  auto joined = [&](const Placement& place, Tensor flat, const std::string& name, int64_t rows) {
    if (flat.empty()) return Tensor();
    Parameter all = table_.find(name);
    all.shape[0] = rows;
    return place.in(flat, all);
  };
  auto block = [&](const Placement& place, Tensor flat, int64_t l) {
    const int64_t width = c.attention(1, 1, 0).qkv_width();
    Block::Parameters p;
    const std::string layer = llama ? fmt::format("model.layers.{}.", l) : fmt::format("transformer.h.{}.", l);
    auto both = [&](Tensor& weight, Tensor& bias, const std::string& name, int64_t rows) {
      weight = joined(place, flat, layer + name + ".weight", rows);
      if (c.bias) bias = joined(place, flat, layer + name + ".bias", rows);
    };
    both(p.norm1, p.norm1_bias, llama ? "input_layernorm" : "ln_1", c.hidden);
    both(p.qkv, p.qkv_bias, llama ? "self_attn.q_proj" : c.split_qkv ? "attn.q_attn" : "attn.c_attn", width);
    both(p.out, p.out_bias, llama ? "self_attn.o_proj" : "attn.c_proj", c.hidden);
    both(p.norm2, p.norm2_bias, llama ? "post_attention_layernorm" : "ln_2", c.hidden);
    both(p.up, p.up_bias, llama ? "mlp.gate_proj" : "mlp.c_fc", c.mlp_in_width());
    both(p.down, p.down_bias, llama ? "mlp.down_proj" : "mlp.c_proj", c.hidden);
    return p;
  };
  auto ends = [&](const Placement& place, Tensor flat) {
    Ends e;
    const std::string tokens = model + (llama ? "embed_tokens.weight" : "wte.weight");
    e.tokens = find(place, flat, tokens);
    if (!c.rope) e.positions = find(place, flat, model + "wpe.weight");
    e.norm = find(place, flat, model + (llama ? "norm.weight" : "ln_f.weight"));
    if (c.bias) e.norm_bias = find(place, flat, model + "ln_f.bias");
    e.head = joined(place, flat, c.tied ? tokens : "lm_head.weight", c.logit_width());
    return e;
  };
  blocks_.resize(static_cast<size_t>(c.layers));
  for (int64_t l = 0; l < c.layers; ++l) {
    blocks_[l].weight = block(weight_placement_, weights_, l);
    blocks_[l].d = block(gradient_placement_, gradients_, l);
  }
  weight_ = ends(weight_placement_, weights_);
  d_ = ends(gradient_placement_, gradients_);
}

void Model::take_activations() {
  const ModelConfig& c = config_;
  const int64_t n = options_.batch * options_.seq;
  const DType type = options_.compute;
  const AttentionShape shape = c.attention(options_.batch, options_.seq, 0);
  // A forward-only pass needs two residual streams in turn: a block reads one and leaves its middle in the other.
  const bool keep_block = options_.training && options_.recompute != Recompute::block;
  const bool keep_mlp = keep_block && options_.recompute == Recompute::none;
  Arena& memory = activation_memory_;

  auto statistics = [&](Tensor& mean, Tensor& rstd) {
    if (c.norm == Norm::layer) mean = memory.take(DType::f32, {n});
    rstd = memory.take(DType::f32, {n});
  };
  for (size_t l = 0; l < blocks_.size(); ++l) {
    Block& b = blocks_[l];
    const Block& first = blocks_[0];
    if (l == 0 || options_.training)
      b.x = memory.take(type, {n, c.hidden});
    else
      b.x = first.x;
    if (l == 0 || keep_block) {
      b.normed1 = memory.take(type, {n, c.hidden});
      statistics(b.mean1, b.rstd1);
      b.qkv = memory.take(type, {n, shape.qkv_width()});
      b.attention = memory.take(type, {n, shape.out_width()});
      b.log_sum_exp = memory.take(DType::f32, {shape.batch, shape.heads, shape.seq});
      b.middle = memory.take(type, {n, c.hidden});
      b.normed2 = memory.take(type, {n, c.hidden});
      statistics(b.mean2, b.rstd2);
    } else {
      b.normed1 = first.normed1, b.mean1 = first.mean1, b.rstd1 = first.rstd1;
      b.qkv = options_.growing ? memory.take(type, {n, shape.qkv_width()}) : first.qkv;
      b.attention = first.attention, b.log_sum_exp = first.log_sum_exp;
      b.middle = first.middle;
      b.normed2 = first.normed2, b.mean2 = first.mean2, b.rstd2 = first.rstd2;
    }
    if (l == 0 || keep_mlp) {
      b.up = memory.take(type, {n, c.mlp_in_width()});
      b.inner = memory.take(type, {n, c.intermediate});
    } else {
      b.up = first.up, b.inner = first.inner;
    }
  }
  final_sum_ = memory.take(type, {n, c.hidden});
  final_out_ = memory.take(type, {n, c.hidden});
  statistics(final_mean_, final_rstd_);
  losses_ = memory.take(DType::f32, {n});

  branch_ = workspace_.take(type, {n, c.hidden});
  logits_ = workspace_.take(type, {logit_chunk_rows(c, n, type), c.logit_width()});
  if (options_.training) {
    d_residual_ = workspace_.take(type, {n, c.hidden});
    d_normed_ = workspace_.take(type, {n, c.hidden});
    d_attention_ = workspace_.take(type, {n, shape.out_width()});
    if (c.swiglu) d_inner_ = workspace_.take(type, {n, c.intermediate});
    d_wide_ = workspace_.take(type, {n * std::max(c.mlp_in_width(), shape.qkv_width())});
  }
  if (c.rope) {
    const int64_t half = c.head_dim / 2;
    std::vector<float> table(static_cast<size_t>(options_.seq * c.head_dim));
    for (int64_t t = 0; t < options_.seq; ++t)
      for (int64_t i = 0; i < half; ++i) {
        double angle = static_cast<double>(t) *
                       std::pow(c.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(c.head_dim));
        table[t * c.head_dim + i] = static_cast<float>(std::cos(angle));
        table[t * c.head_dim + half + i] = static_cast<float>(std::sin(angle));
      }
    rope_table_ = workspace_.take(DType::f32, {options_.seq, c.head_dim});
    backend_.upload(rope_table_, table.data());
  }
}

void Model::set(const Parameter& parameter, const float* values) { upload_floats(backend_, weight(parameter), values); }

void Model::get(const Parameter& parameter, float* values) const {
  download_floats(backend_, values, weight(parameter));
}

void Model::initialize(uint64_t seed) {
  for (const Parameter& parameter : table_.parameters()) {
    std::vector<float> values(static_cast<size_t>(parameter.numel()));
    initial_values(parameter, seed, 0, parameter.numel(), values.data());
    set(parameter, values.data());
  }
}

void Model::zero_gradients() { backend_.zero(gradients_); }

}  // namespace rowan
