// The forward and the backward pass. A block has two halves, and each adds its output to the residual stream. The first
// half consists of a norm, a projection to queries, keys and values, attention, and an output projection. The config
// determines whether queries and keys are normalized, rotated (RoPE) and clamped before attention. The second half
// consists of a norm and an MLP.
#include <cmath>

#include "base/error.h"
#include "kernels/backend.h"
#include "kernels/floats.h"
#include "model/block.h"
#include "model/model.h"

namespace rowan {

void Model::forward_norm(const NormLayer& norm, Tensor residual, Tensor branch) {
  backend_.norm_forward({.kind = config_.norm,
                         .out = norm.out,
                         .sum = branch.empty() ? Tensor() : norm.in,
                         .mean = norm.mean,
                         .rstd = norm.rstd,
                         .residual = branch.empty() ? norm.in : residual,
                         .branch = branch,
                         .weight = norm.weight,
                         .bias = norm.bias,
                         .eps = static_cast<float>(config_.norm_eps)});
}

void Model::backward_norm(const NormLayer& norm, Tensor d_in, Tensor dout, bool accumulate) {
  backend_.norm_backward({.kind = config_.norm,
                          .d_residual = d_in,
                          .d_weight = norm.d_weight,
                          .d_bias = norm.d_bias,
                          .dout = dout,
                          .r = norm.in,
                          .weight = norm.weight,
                          .mean = norm.mean,
                          .rstd = norm.rstd,
                          .accumulate = accumulate});
}

// The table i32[3, tokens] of Backend::find_documents() for the tokens up to the end of the span; empty if the model
// has no `documents` option.
Tensor Model::documents(const Span& span) const {
  const int64_t until = span.batch * (span.begin + span.count);
  return options_.documents ? documents_.slice(0, 3 * until).view({3, until}) : Tensor();
}

void Model::find_documents(Tensor tokens, const Span& span) {
  if (!options_.documents) return;
  if (options_.growing) {
    backend_.copy(document_tokens_.slice(span.begin, span.count), tokens);
    tokens = document_tokens_.slice(0, span.begin + span.count);
  }
  backend_.find_documents(documents(span), tokens, options_.documents->rule, span.begin + span.count);
}

// `place` is where a layer applies dropout: 0 for attention weights, 1 for the attention output, 2 for the MLP output.
// Layer -1 with place 2 is the embedding.
Dropout Model::dropout(double rate, int64_t layer, int64_t place) const {
  if (!dropping_) return {};
  return {static_cast<float>(rate), options_.dropout_seed, 3 * (layer + 1) + place, samples_};
}

void Model::drop(Tensor x, double rate, int64_t layer, int64_t place) {
  if (dropping_ && rate > 0) backend_.dropout(x, dropout(rate, layer, place), options_.seq);
}

void Model::forward(Tensor tokens) { forward(tokens, whole()); }

void Model::forward_next(Tensor tokens, int64_t begin) {
  const int64_t count = tokens.numel();
  if (!options_.growing) fail("model: found a model of whole sequences, expected one made with `growing`");
  if (begin < 0 || begin + count > options_.seq)
    fail("model: found positions {} to {}, expected 0 to {}", begin, begin + count - 1, options_.seq - 1);
  forward(tokens, {1, begin, count});
}

// Attention and MLP write their output to branch_. The next norm also adds this output to the residual stream.
void Model::forward(Tensor tokens, const Span& span) {
  const int64_t rows = span.batch * span.count;
  observer_->before_forward(0);
  forward_embedding(tokens, span);
  observer_->after_forward(0);
  Tensor branch = branch_.slice(0, rows), middle;
  for (int64_t l = 0; l < config_.layers; ++l) {
    observer_->before_forward(static_cast<int>(l) + 1);
    const Timeline::Span span_of_layer(backend_.timeline(), fmt::format("layer {}", l));
    const Block b = blocks_[l].rows(span.begin, rows);
    if (l == 0)
      forward_norm(b.norm1);
    else
      forward_norm(b.norm1, middle, branch);
    forward_attention(b, l, span);
    forward_norm(b.norm2, b.norm1.in, branch);
    forward_mlp(b, l);
    middle = b.norm2.in;
    observer_->after_forward(static_cast<int>(l) + 1);
  }
  observer_->before_forward(last_block());
  forward_norm(norm_.rows(span.begin, rows), middle, branch);
}

// Computes the input of the first block from the tokens.
void Model::forward_embedding(Tensor tokens, const Span& span) {
  const int64_t rows = span.batch * span.count;
  find_documents(tokens, span);
  Tensor positions, position_ids;
  if (positions_restart()) {
    positions = weight_.positions;
    position_ids = documents(span).at(2).slice(span.batch * span.begin, rows);
  } else if (!config_.rope) {
    positions = weight_.positions.slice(span.begin, span.count);
  }
  const NormLayer norm = embedding_norm_.rows(span.begin, rows);
  Tensor embedded = config_.embedding_norm ? norm.in : blocks_[0].norm1.in.slice(span.begin, rows);
  backend_.embedding_forward(embedded, tokens, weight_.tokens, positions, span.count, position_ids);
  drop(embedded, config_.dropout.embedding, -1, 2);
  if (config_.embedding_norm) forward_norm(norm);
}

// Computes branch_ from norm1.out.
void Model::forward_attention(const Block& b, int64_t layer, const Span& span) {
  const int64_t rows = span.batch * span.count, until = span.batch * (span.begin + span.count);
  const AttentionShape now = config_.attention(span.batch, span.count, layer),
                       all = config_.attention(span.batch, span.begin + span.count, layer);
  forward_qkv(b, now, span.begin);
  Tensor log_sum_exp =
      b.log_sum_exp.view({b.log_sum_exp.numel()}).slice(0, until * all.heads).view({all.batch, all.heads, all.seq});
  backend_.attention_forward(b.attention.slice(0, until), log_sum_exp, b.attended_qkv.slice(0, until), all,
                             {documents(span), dropout(config_.dropout.attention, layer, 0)});
  Tensor branch = branch_.slice(0, rows);
  backend_.linear_forward(branch, b.attention.slice(span.begin, rows), b.out.weight, b.out.bias);
  drop(branch, config_.dropout.residual, layer, 1);
}

// Computes the queries, keys and values of attention from norm1.out.
void Model::forward_qkv(const Block& b, const AttentionShape& shape, int64_t begin) {
  Tensor qkv = b.attended_qkv.slice(begin, shape.tokens()), projected = b.projected.slice(begin, shape.tokens());
  backend_.linear_forward(projected, b.norm1.out, b.qkv.weight, b.qkv.bias);
  if (config_.qk_norm != HeadNorm::none)
    backend_.head_norm_forward(qkv, projected, b.head_norm, shape, static_cast<float>(config_.norm_eps));
  if (config_.rope) backend_.rope(qkv, rope_table_.slice(begin, shape.seq), shape, false);
  if (config_.qk_clip > 0)
    backend_.clamp_forward(qkv, 0, (shape.heads + shape.kv_heads) * shape.head_dim,
                           static_cast<float>(config_.qk_clip));
}

// Computes branch_ from norm2.out.
void Model::forward_mlp(const Block& b, int64_t layer) {
  forward_activation(b);
  Tensor branch = branch_.slice(0, b.inner.dim(0));
  backend_.linear_forward(branch, b.inner, b.down.weight, b.down.bias);
  drop(branch, config_.dropout.residual, layer, 2);
}

void Model::forward_activation(const Block& b) {
  if (!config_.gated)
    return backend_.linear_activation_forward(config_.activation, b.inner, b.wide, b.norm2.out, b.up.weight, b.up.bias);
  backend_.linear_forward(b.wide, b.norm2.out, b.up.weight, b.up.bias);
  backend_.gated_forward(config_.activation, b.inner, b.wide);
}

std::vector<float> Model::logits(int64_t row) {
  Tensor wide = logits_.slice(0, 1);
  backend_.linear_forward(wide, norm_.out.slice(row, 1), weight_.head, weight_.head_bias);
  std::vector<float> values(static_cast<size_t>(wide.numel()));
  download_floats(backend_, values.data(), wide);
  values.resize(static_cast<size_t>(config_.vocabulary));
  if (const auto cap = static_cast<float>(config_.logit_softcap); cap > 0)
    for (float& x : values) x *= cap / std::sqrt(x * x + cap * cap);
  return values;
}

// Logits exist only in chunks. If `gradient`, each chunk is overwritten by its gradient, which is used before the next
// chunk is computed.
Tensor Model::head_loss(Tensor targets, float grad_scale, bool gradient) {
  const int64_t n = options_.batch * options_.seq;
  const LossRule rule{config_.vocabulary, static_cast<float>(config_.logit_softcap),
                      static_cast<float>(options_.z_loss)};
  for (int64_t begin = 0; begin < n; begin += logits_.dim(0)) {
    const int64_t count = std::min(logits_.dim(0), n - begin);
    Tensor logits = logits_.slice(0, count);
    Tensor normed = norm_.out.slice(begin, count);
    backend_.linear_forward(logits, normed, weight_.head, weight_.head_bias);
    backend_.cross_entropy(losses_.slice(begin, count), logits, targets.view({n}).slice(begin, count), rule, grad_scale,
                           gradient);
    if (gradient) {
      backend_.linear_backward_input(d_normed_.slice(begin, count), logits, weight_.head, false);
      backend_.linear_backward_weight(d_.head, d_.head_bias, logits, normed, begin > 0 || accumulate_);
    }
  }
  return losses_;
}

Tensor Model::loss(Tensor tokens, Tensor targets) {
  forward(tokens);
  Tensor losses = head_loss(targets, 0, false);
  observer_->after_forward(last_block());
  return losses;
}

Tensor Model::loss_and_gradients(Tensor tokens, Tensor targets, float grad_scale, bool accumulate) {
  if (!options_.training) fail("model: found a model without gradients, expected one made with `training`");
  dropping_ = config_.dropout.any();
  accumulate_ = accumulate;
  accumulate_layers_ = accumulate && options_.resident_gradients == 0;
  {
    const Timeline::Phase phase(backend_.timeline(), "forward");
    forward(tokens);
  }
  Tensor losses;
  {
    const Timeline::Phase phase(backend_.timeline(), "head");
    losses = head_loss(targets, grad_scale, true);
  }
  observer_->after_forward(last_block());
  const Timeline::Phase phase(backend_.timeline(), "backward");
  backward(tokens);
  dropping_ = false;
  return losses;
}

void Model::begin_backward(int block) {
  observer_->before_backward(block);
  if (gradient_placement_.is_layer(block) ? accumulate_layers_ : accumulate_) return;
  for (const Tensor& sum : sums_[block]) backend_.zero(sum);
}

void Model::backward_weight(const Linear& linear, Tensor dout, Tensor in) {
  backend_.linear_backward_weight(linear.d_weight, linear.d_bias, dout, in, accumulate_layers_);
}

// On entry, d_normed_ holds the gradient of the final norm's output. From the last block to the first, d_residual_
// holds the gradient of the residual stream.
void Model::backward(Tensor tokens) {
  begin_backward(last_block());
  backward_norm(norm_, d_residual_, d_normed_, false);
  observer_->after_backward(last_block());
  for (int64_t l = config_.layers - 1; l >= 0; --l) {
    begin_backward(static_cast<int>(l) + 1);
    const Timeline::Span span_of_layer(backend_.timeline(), fmt::format("layer {}", l));
    Block& b = blocks_[l];
    if (options_.recompute == Recompute::block) {
      forward_norm(b.norm1);
      forward_attention(b, l, whole());
      forward_norm(b.norm2, b.norm1.in, branch_);
    }
    if (options_.recompute != Recompute::none) forward_activation(b);
    backward_mlp(l);
    backward_attention(l);
    observer_->after_backward(static_cast<int>(l) + 1);
  }
  begin_backward(0);
  backward_embedding(tokens);
  observer_->after_backward(0);
}

// The gradient of what attention or MLP added to the residual stream. It is d_residual_ itself, or a copy in branch_ if
// dropout or a conversion to another dtype must be applied.
Tensor Model::branch_gradient(int64_t layer, int64_t place) {
  if (config_.dropout.residual == 0 && d_residual_.dtype == branch_.dtype) return d_residual_;
  backend_.copy(branch_, d_residual_);
  drop(branch_, config_.dropout.residual, layer, place);
  return branch_;
}

void Model::backward_mlp(int64_t layer) {
  Block& b = blocks_[layer];
  Tensor d_branch = branch_gradient(layer, 2),
         d_wide = d_wide_.slice(0, b.wide.numel()).view({b.wide.dim(0), b.wide.dim(1)});
  backward_weight(b.down, d_branch, b.inner);
  if (config_.gated) {
    backend_.linear_backward_input(d_inner_, d_branch, b.down.weight, false);
    backend_.gated_backward(config_.activation, d_wide, d_inner_, b.wide);
  } else {
    backend_.linear_activation_backward(config_.activation, d_wide, d_branch, b.down.weight, b.wide);
  }
  backend_.linear_backward_input(d_normed_, d_wide, b.up.weight, false);
  backward_weight(b.up, d_wide, b.norm2.out);
  backward_norm(b.norm2, d_residual_, d_normed_, true);
}

void Model::backward_attention(int64_t layer) {
  Block& b = blocks_[layer];
  const AttentionShape shape = config_.attention(options_.batch, options_.seq, layer);
  Tensor d_branch = branch_gradient(layer, 1),
         d_qkv = d_wide_.slice(0, b.projected.numel()).view({b.projected.dim(0), b.projected.dim(1)});
  backend_.linear_backward_input(d_attention_, d_branch, b.out.weight, false);
  backward_weight(b.out, d_branch, b.attention);
  backend_.attention_backward(
      d_qkv, d_attention_, b.attention, b.log_sum_exp, b.attended_qkv, shape,
      {documents(whole()), dropout(config_.dropout.attention, layer, 0), config_.qk_clip > 0 ? Tensor() : rope_table_});
  backward_qkv(b, d_qkv, shape);
  backward_norm(b.norm1, d_residual_, d_normed_, true);
}

// Computes the gradient of norm1.out into d_normed_ from the gradient of attention's input. Without qk_clip,
// attention_backward has already applied the inverse rotation of RoPE.
void Model::backward_qkv(const Block& b, Tensor d_qkv, const AttentionShape& shape) {
  if (config_.qk_clip > 0) {
    backend_.clamp_backward(d_qkv, b.attended_qkv, 0, (shape.heads + shape.kv_heads) * shape.head_dim,
                            static_cast<float>(config_.qk_clip));
    if (config_.rope) backend_.rope(d_qkv, rope_table_, shape, true);
  }
  if (config_.qk_norm != HeadNorm::none)
    backend_.head_norm_backward(d_qkv, b.d_head_norm, b.projected, b.head_norm, shape,
                                static_cast<float>(config_.norm_eps));
  backend_.linear_backward_input(d_normed_, d_qkv, b.qkv.weight, false);
  backward_weight(b.qkv, d_qkv, b.norm1.out);
}

void Model::backward_embedding(Tensor tokens) {
  Tensor d_embedded = d_residual_;
  if (config_.embedding_norm) {
    d_embedded = d_embedded_;
    backward_norm(embedding_norm_, d_embedded, d_residual_, false);
  }
  drop(d_embedded, config_.dropout.embedding, -1, 2);
  if (positions_restart()) {
    backend_.embedding_backward(d_.tokens, Tensor(), d_embedded, tokens, options_.seq);
    backend_.embedding_backward(d_.positions, Tensor(), d_embedded, documents(whole()).at(2), options_.seq);
  } else {
    backend_.embedding_backward(d_.tokens, d_.positions, d_embedded, tokens, options_.seq);
  }
}

}  // namespace rowan
