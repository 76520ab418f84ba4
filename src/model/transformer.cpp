// The forward and the backward pass.
#include "base/error.h"
#include "kernels/floats.h"
#include "model/block.h"
#include "model/model.h"

namespace rowan {

void Model::norm(NormForward norm) {
  norm.kind = config_.norm;
  norm.eps = static_cast<float>(config_.norm_eps);
  backend_.norm_forward(norm);
}

void Model::forward(Tensor tokens) { forward(tokens, whole()); }

void Model::forward_next(Tensor tokens, int64_t begin) {
  const int64_t count = tokens.numel();
  if (!options_.growing || begin < 0 || begin + count > options_.seq)
    fail("model: positions {} to {} of a sequence that {} to {}", begin, begin + count,
         options_.growing ? "grows" : "does not grow", options_.seq);
  forward(tokens, {1, begin, count});
}

// Each sub-layer leaves its output in branch_; the residual add is fused into the norm that follows it.
void Model::forward(Tensor tokens, const Span& span) {
  const int64_t rows = span.batch * span.count;
  observer_->before_forward(0);
  Tensor positions = weight_.positions.empty() ? Tensor() : weight_.positions.slice(span.begin, span.count);
  Block b = blocks_[0].rows(span.begin, rows);
  backend_.embedding_forward(b.x, tokens, weight_.tokens, positions, span.count);
  observer_->after_forward(0);
  Tensor branch = branch_.slice(0, rows), middle;
  for (int64_t l = 0; l < config_.layers; ++l) {
    observer_->before_forward(static_cast<int>(l) + 1);
    b = blocks_[l].rows(span.begin, rows);
    if (l == 0)
      norm({.out = b.normed1,
            .mean = b.mean1,
            .rstd = b.rstd1,
            .residual = b.x,
            .weight = b.weight.norm1,
            .bias = b.weight.norm1_bias});
    else
      norm({.out = b.normed1,
            .sum = b.x,
            .mean = b.mean1,
            .rstd = b.rstd1,
            .residual = middle,
            .branch = branch,
            .weight = b.weight.norm1,
            .bias = b.weight.norm1_bias});
    forward_attention(b, l, span);
    forward_mlp(b);
    middle = b.middle;
    observer_->after_forward(static_cast<int>(l) + 1);
  }
  observer_->before_forward(last_block());
  auto part = [&](Tensor x) { return x.empty() ? x : x.slice(span.begin, rows); };
  norm({.out = part(final_out_),
        .sum = part(final_sum_),
        .mean = part(final_mean_),
        .rstd = part(final_rstd_),
        .residual = middle,
        .branch = branch,
        .weight = weight_.norm,
        .bias = weight_.norm_bias});
}

// From normed1 to middle and normed2.
void Model::forward_attention(const Block& b, int64_t layer, const Span& span) {
  const int64_t rows = span.batch * span.count, until = span.batch * (span.begin + span.count);
  const AttentionShape now = config_.attention(span.batch, span.count, layer),
                       all = config_.attention(span.batch, span.begin + span.count, layer);
  Tensor qkv = b.qkv.slice(span.begin, rows), branch = branch_.slice(0, rows);
  backend_.linear_forward(qkv, b.normed1, b.weight.qkv, b.weight.qkv_bias);
  if (config_.rope) backend_.rope(qkv, rope_table_.slice(span.begin, span.count), now, false);
  if (config_.qk_clip > 0)
    backend_.clamp_forward(qkv, 0, (now.heads + now.kv_heads) * now.head_dim, static_cast<float>(config_.qk_clip));
  Tensor log_sum_exp =
      b.log_sum_exp.view({b.log_sum_exp.numel()}).slice(0, until * all.heads).view({all.batch, all.heads, all.seq});
  backend_.attention_forward(b.attention.slice(0, until), log_sum_exp, b.qkv.slice(0, until), all);
  backend_.linear_forward(branch, b.attention.slice(span.begin, rows), b.weight.out, b.weight.out_bias);
  norm({.out = b.normed2,
        .sum = b.middle,
        .mean = b.mean2,
        .rstd = b.rstd2,
        .residual = b.x,
        .branch = branch,
        .weight = b.weight.norm2,
        .bias = b.weight.norm2_bias});
}

void Model::activation_forward(const Block& b) {
  if (!config_.swiglu)
    return backend_.linear_gelu_forward(config_.gelu, b.inner, b.up, b.normed2, b.weight.up, b.weight.up_bias);
  backend_.linear_forward(b.up, b.normed2, b.weight.up, b.weight.up_bias);
  backend_.swiglu_forward(b.inner, b.up);
}

void Model::forward_mlp(const Block& b) {
  activation_forward(b);
  backend_.linear_forward(branch_.slice(0, b.inner.dim(0)), b.inner, b.weight.down, b.weight.down_bias);
}

std::vector<float> Model::logits(int64_t row) {
  Tensor wide = logits_.slice(0, 1);
  backend_.linear_forward(wide, final_out_.slice(row, 1), weight_.head, Tensor());
  std::vector<float> values(static_cast<size_t>(wide.numel()));
  download_floats(backend_, values.data(), wide);
  values.resize(static_cast<size_t>(config_.vocabulary));
  return values;
}

// Logits exist only in pieces; each piece is turned into its own gradient and consumed at once.
Tensor Model::head_loss(Tensor targets, float grad_scale, bool gradient) {
  const int64_t n = options_.batch * options_.seq;
  for (int64_t begin = 0; begin < n; begin += logits_.dim(0)) {
    const int64_t count = std::min(logits_.dim(0), n - begin);
    Tensor logits = logits_.slice(0, count);
    Tensor normed = final_out_.slice(begin, count);
    backend_.linear_forward(logits, normed, weight_.head, Tensor());
    backend_.cross_entropy(losses_.slice(begin, count), logits, targets.view({n}).slice(begin, count),
                           config_.vocabulary, grad_scale, gradient);
    if (gradient) {
      backend_.linear_backward_input(d_normed_.slice(begin, count), logits, weight_.head, false);
      backend_.linear_backward_weight(d_.head, Tensor(), logits, normed);
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

Tensor Model::loss_and_gradients(Tensor tokens, Tensor targets, float grad_scale) {
  if (!options_.training) fail("model: gradients were asked of a model made without them");
  forward(tokens);
  Tensor losses = head_loss(targets, grad_scale, true);
  observer_->after_forward(last_block());
  backward(tokens);
  return losses;
}

// d_residual_ carries the gradient of the residual stream from the end to the start; d_normed_ enters holding the
// gradient of the final norm's output.
void Model::backward(Tensor tokens) {
  observer_->before_backward(last_block());
  backend_.norm_backward({.kind = config_.norm,
                          .d_residual = d_residual_,
                          .d_weight = d_.norm,
                          .d_bias = d_.norm_bias,
                          .dout = d_normed_,
                          .r = final_sum_,
                          .weight = weight_.norm,
                          .mean = final_mean_,
                          .rstd = final_rstd_});
  observer_->after_backward(last_block());
  for (int64_t l = config_.layers - 1; l >= 0; --l) {
    observer_->before_backward(static_cast<int>(l) + 1);
    Block& b = blocks_[l];
    if (options_.recompute == Recompute::block) {
      norm({.out = b.normed1,
            .mean = b.mean1,
            .rstd = b.rstd1,
            .residual = b.x,
            .weight = b.weight.norm1,
            .bias = b.weight.norm1_bias});
      forward_attention(b, l, whole());
    }
    if (options_.recompute != Recompute::none) activation_forward(b);
    backward_mlp(l);
    backward_attention(l);
    observer_->after_backward(static_cast<int>(l) + 1);
  }
  observer_->before_backward(0);
  backend_.embedding_backward(d_.tokens, d_.positions, d_residual_, tokens, options_.seq);
  observer_->after_backward(0);
}

void Model::backward_mlp(int64_t layer) {
  Block& b = blocks_[layer];
  Tensor d_up = d_wide_.slice(0, b.up.numel()).view({b.up.dim(0), b.up.dim(1)});
  backend_.linear_backward_weight(b.d.down, b.d.down_bias, d_residual_, b.inner);
  if (config_.swiglu) {
    backend_.linear_backward_input(d_inner_, d_residual_, b.weight.down, false);
    backend_.swiglu_backward(d_up, d_inner_, b.up);
  } else {
    backend_.linear_gelu_backward(config_.gelu, d_up, d_residual_, b.weight.down, b.up);
  }
  backend_.linear_backward_input(d_normed_, d_up, b.weight.up, false);
  backend_.linear_backward_weight(b.d.up, b.d.up_bias, d_up, b.normed2);
  backend_.norm_backward({.kind = config_.norm,
                          .d_residual = d_residual_,
                          .d_weight = b.d.norm2,
                          .d_bias = b.d.norm2_bias,
                          .dout = d_normed_,
                          .r = b.middle,
                          .weight = b.weight.norm2,
                          .mean = b.mean2,
                          .rstd = b.rstd2,
                          .accumulate = true});
}

void Model::backward_attention(int64_t layer) {
  Block& b = blocks_[layer];
  const AttentionShape shape = config_.attention(options_.batch, options_.seq, layer);
  Tensor d_qkv = d_wide_.slice(0, b.qkv.numel()).view({b.qkv.dim(0), b.qkv.dim(1)});
  backend_.linear_backward_input(d_attention_, d_residual_, b.weight.out, false);
  backend_.linear_backward_weight(b.d.out, b.d.out_bias, d_residual_, b.attention);
  backend_.attention_backward(d_qkv, d_attention_, b.attention, b.log_sum_exp, b.qkv, shape);
  if (config_.qk_clip > 0)
    backend_.clamp_backward(d_qkv, b.qkv, 0, (shape.heads + shape.kv_heads) * shape.head_dim,
                            static_cast<float>(config_.qk_clip));
  if (config_.rope) backend_.rope(d_qkv, rope_table_, shape, true);
  backend_.linear_backward_input(d_normed_, d_qkv, b.weight.qkv, false);
  backend_.linear_backward_weight(b.d.qkv, b.d.qkv_bias, d_qkv, b.normed1);
  backend_.norm_backward({.kind = config_.norm,
                          .d_residual = d_residual_,
                          .d_weight = b.d.norm1,
                          .d_bias = b.d.norm1_bias,
                          .dout = d_normed_,
                          .r = b.x,
                          .weight = b.weight.norm1,
                          .mean = b.mean1,
                          .rstd = b.rstd1,
                          .accumulate = true});
}

}  // namespace rowan
