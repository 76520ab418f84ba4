// Places a model in memory: flat parameter buffers, views of them, and activations.
#include "model/model.h"

#include <algorithm>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/backend.h"
#include "kernels/floats.h"
#include "kernels/thread_pool.h"
#include "model/block.h"

namespace rowan {

// The logits are computed in chunks of rows. A chunk takes at most about as many bytes as a block keeps for its
// backward pass. This limit itself is at least 128 MiB and at most 1 GiB. Every chunk reads and writes the whole
// gradient of the head, so chunks of few rows are slow.
int64_t logit_chunk_rows(const ModelConfig& config, int64_t tokens, DType dtype) {
  constexpr int64_t least_bytes = int64_t{128} << 20, most_bytes = int64_t{1} << 30, tile = 128;  // tile: in rows
  const AttentionShape shape = config.attention(1, 1, 0);
  const int64_t size = static_cast<int64_t>(size_of(dtype)), block = 4 * config.hidden + shape.qkv_width() +
                                                                     shape.out_width() + config.mlp_in_width() +
                                                                     config.intermediate;
  // Computed as doubles, so that the sizes of a model that fits in no memory do not overflow.
  const double kept = static_cast<double>(block) * static_cast<double>(tokens * size);
  const auto bytes =
      static_cast<int64_t>(std::clamp(kept, static_cast<double>(least_bytes), static_cast<double>(most_bytes)));
  // Fewer than 2^17 chunks, so that planning a model that fits in no memory does not take long.
  const int64_t least = std::max<int64_t>(1, tokens >> 16);
  const int64_t most = std::clamp<int64_t>(bytes / (config.logit_width() * size), least, tokens);
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
    fail("model: found sequence length {}, expected at most {}, the positions of the model", options.seq,
         config.positions);
  const Limits most = backend.limits();
  auto check_limit = [&](const char* field, int64_t found, int64_t allowed) {
    if (found > allowed) fail("model: {}: found {}, expected at most {} on a GPU", field, found, allowed);
  };
  const bool gpt2 = config.family == Family::gpt2;
  check_limit(gpt2 ? "n_embd / n_head" : "head_dim (hidden_size / num_attention_heads)", config.head_dim,
              most.head_dim);
  check_limit(gpt2 ? "n_embd" : "hidden_size", config.hidden, most.norm_width);
  check_limit("micro_batch", options.batch, most.batch);
  if (options.training) backend.plan_attention(config.attention(options.batch, options.seq, 0), options.compute);
  if (options.growing && (options.training || options.batch != 1))
    fail("model: growing: found a batch of {} {} training, expected a batch of 1 without training", options.batch,
         options.training ? "with" : "without");
  weights_ = weight_memory_.take(options.compute, {weight_placement_.elements()});
  if (options.training) {
    gradients_ = gradient_memory_.take(options.gradient, {gradient_placement_.elements()});
    backend.zero(gradients_);  // ranks also send the padding between parameters
  }
  bind();
  take_activations();
}

Model::~Model() = default;

void Model::bind() {
  const ModelConfig& c = config_;
  const ParameterNames names = names_of(c);
  // Binds a weight and its gradient to `rows` consecutive rows, which begin with the named parameter. The rows may
  // extend over parameters that follow the named parameter in memory.
  auto bind = [&](Tensor& weight, Tensor& gradient, const std::string& name, int64_t rows) {
    Parameter all = table_.find(name);
    all.shape[0] = rows;
    weight = weight_placement_.in(weights_, all);
    if (!gradients_.empty()) gradient = gradient_placement_.in(gradients_, all);
  };
  auto bind_sum = [&](Tensor& weight, Tensor& gradient, const std::string& name, int64_t rows) {
    bind(weight, gradient, name, rows);
    sums_[table_.find(name).block].push_back(gradient);
  };
  auto bind_norm = [&](NormLayer& norm, const std::string& name) {
    bind_sum(norm.weight, norm.d_weight, name + ".weight", c.hidden);
    if (c.norm_bias) bind_sum(norm.bias, norm.d_bias, name + ".bias", c.hidden);
  };
  auto bind_linear = [&](Linear& linear, const std::string& name, int64_t rows, bool bias) {
    bind(linear.weight, linear.d_weight, name + ".weight", rows);
    if (bias) bind(linear.bias, linear.d_bias, name + ".bias", rows);
  };
  blocks_.resize(static_cast<size_t>(c.layers));
  sums_.resize(blocks_.size() + 2);
  for (int64_t l = 0; l < c.layers; ++l) {
    Block& b = blocks_[l];
    const LayerNames& n = names.layer;
    bind_norm(b.norm1, names.in_layer(l, n.norm1));
    bind_linear(b.qkv, names.in_layer(l, n.qkv.front()), c.attention(1, 1, 0).qkv_width(), c.attention_bias);
    if (c.qk_norm == HeadNorm::rms_gain)
      bind_sum(b.head_norm, b.d_head_norm, names.in_layer(l, n.query_norm) + ".weight", 2 * c.head_dim);
    bind_linear(b.out, names.in_layer(l, n.out), c.hidden, c.attention_bias);
    bind_norm(b.norm2, names.in_layer(l, n.norm2));
    bind_linear(b.up, names.in_layer(l, n.up.front()), c.mlp_in_width(), c.mlp_bias);
    bind_linear(b.down, names.in_layer(l, n.down), c.hidden, c.mlp_bias);
  }
  bind(weight_.tokens, d_.tokens, names.tokens + ".weight", c.vocabulary);
  if (!c.tied) sums_[0].push_back(d_.tokens);  // a tied head has already written this gradient
  if (!c.rope) bind_sum(weight_.positions, d_.positions, names.positions + ".weight", c.positions);
  if (c.embedding_norm) bind_norm(embedding_norm_, names.embedding_norm);
  bind_norm(norm_, names.norm);
  bind(weight_.head, d_.head, (c.tied ? names.tokens : names.head) + ".weight", c.logit_width());
  if (c.head_bias) bind(weight_.head_bias, d_.head_bias, names.head + ".bias", c.logit_width());
}

void Model::take_activations() {
  const ModelConfig& c = config_;
  const int64_t n = options_.batch * options_.seq;
  const DType type = options_.compute, stream = options_.fp32_residual ? DType::f32 : type;
  const AttentionShape shape = c.attention(options_.batch, options_.seq, 0);
  // Without training, all blocks share two buffers for the residual stream: one for its value at the start of a block,
  // and one for its value between attention and MLP.
  const bool keep_block = options_.training && options_.recompute != Recompute::block;
  const bool keep_mlp = keep_block && options_.recompute == Recompute::none;
  Arena& memory = activation_memory_;

  auto take_norm = [&](NormLayer& norm) {
    norm.out = memory.take(type, {n, c.hidden});
    if (c.norm == Norm::layer) norm.mean = memory.take(DType::f32, {n});
    norm.rstd = memory.take(DType::f32, {n});
  };
  auto share_norm = [](NormLayer& norm, const NormLayer& with) {
    norm.out = with.out, norm.mean = with.mean, norm.rstd = with.rstd;
  };
  const bool normed_heads = c.qk_norm != HeadNorm::none;
  for (size_t l = 0; l < blocks_.size(); ++l) {
    Block& b = blocks_[l];
    const Block& first = blocks_[0];
    b.norm1.in = l == 0 || options_.training ? memory.take(stream, {n, c.hidden}) : first.norm1.in;
    if (l == 0 || keep_block) {
      take_norm(b.norm1);
      b.attended_qkv = memory.take(type, {n, shape.qkv_width()});
      b.projected = normed_heads ? memory.take(type, {n, shape.qkv_width()}) : b.attended_qkv;
      b.attention = memory.take(type, {n, shape.out_width()});
      b.log_sum_exp = memory.take(DType::f32, {shape.batch, shape.heads, shape.seq});
      b.norm2.in = memory.take(stream, {n, c.hidden});
      take_norm(b.norm2);
    } else {
      share_norm(b.norm1, first.norm1);
      b.attended_qkv = options_.growing ? memory.take(type, {n, shape.qkv_width()}) : first.attended_qkv;
      b.projected = normed_heads ? first.projected : b.attended_qkv;
      b.attention = first.attention, b.log_sum_exp = first.log_sum_exp;
      b.norm2.in = first.norm2.in;
      share_norm(b.norm2, first.norm2);
    }
    if (l == 0 || keep_mlp) {
      b.wide = memory.take(type, {n, c.mlp_in_width()});
      b.inner = memory.take(type, {n, c.intermediate});
    } else {
      b.wide = first.wide, b.inner = first.inner;
    }
  }
  if (c.embedding_norm) {
    embedding_norm_.in = memory.take(stream, {n, c.hidden});
    embedding_norm_.out = blocks_[0].norm1.in;
    if (c.norm == Norm::layer) embedding_norm_.mean = memory.take(DType::f32, {n});
    embedding_norm_.rstd = memory.take(DType::f32, {n});
  }
  norm_.in = memory.take(stream, {n, c.hidden});
  take_norm(norm_);
  losses_ = memory.take(DType::f32, {n});

  branch_ = workspace_.take(type, {n, c.hidden});
  logits_ = workspace_.take(type, {logit_chunk_rows(c, n, type), c.logit_width()});
  if (options_.training) {
    d_residual_ = workspace_.take(stream, {n, c.hidden});
    d_normed_ = workspace_.take(type, {n, c.hidden});
    if (c.embedding_norm) d_embedded_ = stream == type ? d_normed_ : workspace_.take(stream, {n, c.hidden});
    d_attention_ = workspace_.take(type, {n, shape.out_width()});
    if (c.gated) d_inner_ = workspace_.take(type, {n, c.intermediate});
    d_wide_ = workspace_.take(type, {n * std::max(c.mlp_in_width(), shape.qkv_width())});
  }
  if (options_.documents) {
    documents_ = memory.take(DType::i32, {3 * n});
    if (options_.growing) document_tokens_ = memory.take(DType::i32, {n});
  }
  if (options_.training && c.dropout.any()) samples_ = workspace_.take(DType::i32, {options_.batch, 2});
  if (c.rope) {
    rope_table_ = workspace_.take(DType::f32, {options_.seq, c.head_dim});
    std::vector<float> table;  // empty for a dry backend, which does not read it
    if (backend_.name() != "dry") table = rope_table(*c.rope, options_.seq, c.head_dim);
    backend_.upload(rope_table_, table.data());
  }
}

void Model::set(const Parameter& parameter, const float* values) { upload_floats(backend_, weight(parameter), values); }

void Model::get(const Parameter& parameter, float* values) const {
  download_floats(backend_, values, weight(parameter));
}

void Model::initialize(uint64_t seed) {
  ThreadPool threads(default_threads());
  for (const Parameter& parameter : table_.parameters()) {
    std::vector<float> values(static_cast<size_t>(parameter.numel()));
    initial_values(parameter, seed, 0, parameter.numel(), values.data(), threads);
    set(parameter, values.data());
  }
}

}  // namespace rowan
