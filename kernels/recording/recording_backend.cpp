#include "kernels/recording/recording_backend.h"

#include <fmt/core.h>

#include <algorithm>

namespace rowan {
namespace {

using Slots = std::vector<OptimizerSlot>;

const char* name_of(Along along) { return along == Along::row ? "row" : along == Along::column ? "column" : "matrix"; }

// Weights, masters, gradients and state of all slots, each as one tensor.
std::vector<Tensor> with(std::vector<Tensor> operands, const Slots& slots) {
  for (Tensor OptimizerSlot::*part : {&OptimizerSlot::weight, &OptimizerSlot::master, &OptimizerSlot::gradient,
                                      &OptimizerSlot::first, &OptimizerSlot::second}) {
    Tensor all = slots.empty() ? Tensor() : slots[0].*part;
    all.rank = 1;
    std::fill(all.shape, all.shape + Tensor::max_rank, 1);
    all.shape[0] = 0;
    for (const OptimizerSlot& slot : slots) all.shape[0] += (slot.*part).numel();
    operands.push_back(all);
  }
  return operands;
}

}  // namespace

template <typename Call>
void RecordingBackend::record(std::string operation, const std::vector<Tensor>& operands, Call call) {
  call(inner_);
  std::string text;
  for (const Tensor& x : operands) text += (text.empty() ? "" : " ") + (x.empty() ? "-" : x.describe());
  calls_.push_back({std::move(operation), std::move(text), std::move(call)});
}

void RecordingBackend::copy(Tensor to, Tensor from) {
  record(fmt::format("copy {} to {}", rowan::name_of(from.dtype), rowan::name_of(to.dtype)), {to, from},
         [=](Backend& b) { b.copy(to, from); });
}

void RecordingBackend::zero(Tensor x) {
  record("zero", {x}, [=](Backend& b) { b.zero(x); });
}

void RecordingBackend::scale(Tensor x, float factor) {
  record("scale", {x}, [=](Backend& b) { b.scale(x, factor); });
}

void RecordingBackend::add(Tensor y, Tensor x) {
  record("add", {y, x}, [=](Backend& b) { b.add(y, x); });
}

void RecordingBackend::clamp_forward(Tensor x, int64_t begin, int64_t end, float limit) {
  record("clamp_forward", {x}, [=](Backend& b) { b.clamp_forward(x, begin, end, limit); });
}

void RecordingBackend::clamp_backward(Tensor dx, Tensor x, int64_t begin, int64_t end, float limit) {
  record("clamp_backward", {dx, x}, [=](Backend& b) { b.clamp_backward(dx, x, begin, end, limit); });
}

void RecordingBackend::sum(Tensor out, Tensor x, bool accumulate) {
  record("sum", {out, x}, [=](Backend& b) { b.sum(out, x, accumulate); });
}

void RecordingBackend::sum_squares(Tensor out, const std::vector<Tensor>& xs) {
  record("sum_squares", xs, [=](Backend& b) { b.sum_squares(out, xs); });
}

void RecordingBackend::embedding_forward(Tensor out, Tensor tokens, Tensor table, Tensor positions, int64_t seq) {
  record("embedding_forward", {out, tokens, table, positions},
         [=](Backend& b) { b.embedding_forward(out, tokens, table, positions, seq); });
}

void RecordingBackend::embedding_backward(Tensor d_table, Tensor d_positions, Tensor dout, Tensor tokens, int64_t seq) {
  record("embedding_backward", {d_table, d_positions, dout, tokens},
         [=](Backend& b) { b.embedding_backward(d_table, d_positions, dout, tokens, seq); });
}

void RecordingBackend::norm_forward(Norm kind, Tensor out, Tensor sum, Tensor mean, Tensor rstd, Tensor residual,
                                    Tensor branch, Tensor weight, Tensor bias, float eps) {
  record("norm_forward", {out, sum, mean, rstd, residual, branch, weight, bias},
         [=](Backend& b) { b.norm_forward(kind, out, sum, mean, rstd, residual, branch, weight, bias, eps); });
}

void RecordingBackend::norm_backward(Norm kind, Tensor d_residual, Tensor d_weight, Tensor d_bias, Tensor dout,
                                     Tensor r, Tensor weight, Tensor mean, Tensor rstd, bool accumulate) {
  record("norm_backward",
         {d_residual, d_weight, d_bias, dout, r, weight, mean, rstd, accumulate ? d_residual : Tensor()},
         [=](Backend& b) {
           b.norm_backward(kind, d_residual, d_weight, d_bias, dout, r, weight, mean, rstd, accumulate);
         });
}

void RecordingBackend::linear_forward(Tensor out, Tensor in, Tensor weight, Tensor bias) {
  record("linear_forward", {out, in, weight, bias}, [=](Backend& b) { b.linear_forward(out, in, weight, bias); });
}

void RecordingBackend::linear_backward_input(Tensor din, Tensor dout, Tensor weight, bool accumulate) {
  record("linear_backward_input", {din, dout, weight, accumulate ? din : Tensor()},
         [=](Backend& b) { b.linear_backward_input(din, dout, weight, accumulate); });
}

void RecordingBackend::linear_backward_weight(Tensor d_weight, Tensor d_bias, Tensor dout, Tensor in) {
  record("linear_backward_weight", {d_weight, d_bias, dout, in},
         [=](Backend& b) { b.linear_backward_weight(d_weight, d_bias, dout, in); });
}

void RecordingBackend::matmul(Tensor c, Tensor a, bool transpose_a, Tensor b, bool transpose_b, float alpha,
                              float beta) {
  record(fmt::format("matmul{}{}", transpose_a ? " a^T" : "", transpose_b ? " b^T" : ""),
         {c, a, b, beta != 0 ? c : Tensor()},
         [=](Backend& backend) { backend.matmul(c, a, transpose_a, b, transpose_b, alpha, beta); });
}

void RecordingBackend::matmul_add(Tensor c, Tensor source, Tensor a, bool transpose_a, Tensor b, bool transpose_b,
                                  float alpha, float beta) {
  record(fmt::format("matmul_add{}{}", transpose_a ? " a^T" : "", transpose_b ? " b^T" : ""), {c, source, a, b},
         [=](Backend& backend) { backend.matmul_add(c, source, a, transpose_a, b, transpose_b, alpha, beta); });
}

void RecordingBackend::linear_gelu_forward(Gelu kind, Tensor out, Tensor pre, Tensor in, Tensor weight, Tensor bias) {
  record("linear_gelu_forward", {out, pre, in, weight, bias},
         [=](Backend& b) { b.linear_gelu_forward(kind, out, pre, in, weight, bias); });
}

void RecordingBackend::linear_gelu_backward(Gelu kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre) {
  record("linear_gelu_backward", {d_pre, dout, weight, pre},
         [=](Backend& b) { b.linear_gelu_backward(kind, d_pre, dout, weight, pre); });
}

void RecordingBackend::rope(Tensor qkv, Tensor table, const AttentionShape& shape, bool inverse) {
  record("rope", {qkv, table}, [=](Backend& b) { b.rope(qkv, table, shape, inverse); });
}

void RecordingBackend::attention_forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& shape) {
  record("attention_forward", {out, log_sum_exp, qkv},
         [=](Backend& b) { b.attention_forward(out, log_sum_exp, qkv, shape); });
}

void RecordingBackend::attention_backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv,
                                          const AttentionShape& shape) {
  record("attention_backward", {dqkv, dout, out, log_sum_exp, qkv},
         [=](Backend& b) { b.attention_backward(dqkv, dout, out, log_sum_exp, qkv, shape); });
}

void RecordingBackend::swiglu_forward(Tensor out, Tensor gate_up) {
  record("swiglu_forward", {out, gate_up}, [=](Backend& b) { b.swiglu_forward(out, gate_up); });
}

void RecordingBackend::swiglu_backward(Tensor d_gate_up, Tensor dout, Tensor gate_up) {
  record("swiglu_backward", {d_gate_up, dout, gate_up},
         [=](Backend& b) { b.swiglu_backward(d_gate_up, dout, gate_up); });
}

void RecordingBackend::gelu_forward(Gelu kind, Tensor out, Tensor in) {
  record("gelu_forward", {out, in}, [=](Backend& b) { b.gelu_forward(kind, out, in); });
}

void RecordingBackend::gelu_backward(Gelu kind, Tensor din, Tensor dout, Tensor in) {
  record("gelu_backward", {din, dout, in}, [=](Backend& b) { b.gelu_backward(kind, din, dout, in); });
}

void RecordingBackend::cross_entropy(Tensor losses, Tensor logits, Tensor targets, int64_t vocabulary, float grad_scale,
                                     bool gradient) {
  record("cross_entropy", {losses, logits, targets, gradient ? logits : Tensor()},
         [=](Backend& b) { b.cross_entropy(losses, logits, targets, vocabulary, grad_scale, gradient); });
}

void RecordingBackend::adamw(const Slots& slots, const AdamWRule& rule) {
  record("adamw", with({}, slots), [=](Backend& b) { b.adamw(slots, rule); });
}

void RecordingBackend::normalized_step(const Slots& slots, const NormalizedStepRule& rule) {
  record(fmt::format("normalized_step {}{}", name_of(rule.along), rule.project ? ", project" : ""), with({}, slots),
         [=](Backend& b) { b.normalized_step(slots, rule); });
}

void RecordingBackend::momentum(Tensor update, const Slots& slots, const MomentumRule& rule) {
  record("momentum", with({update}, slots), [=](Backend& b) { b.momentum(update, slots, rule); });
}

void RecordingBackend::project(Tensor update, const Slots& slots, const ProjectRule& rule) {
  record(fmt::format("project {}", name_of(rule.along)), with({update}, slots),
         [=](Backend& b) { b.project(update, slots, rule); });
}

void RecordingBackend::normalize(Tensor update, const NormalizeRule& rule) {
  record(fmt::format("normalize{}{}{}", rule.rows ? " row" : "", rule.columns ? " column" : "",
                     rule.matrix ? " matrix" : ""),
         {update}, [=](Backend& b) { b.normalize(update, rule); });
}

void RecordingBackend::sign(Tensor update) {
  record("sign", {update}, [=](Backend& b) { b.sign(update); });
}

void RecordingBackend::sums_of_squares(Tensor out, const std::vector<Tensor>& matrices, Along along, float scale) {
  std::vector<Tensor> operands = matrices;
  operands.push_back(out);
  record(fmt::format("sums_of_squares {}", name_of(along)), operands,
         [=](Backend& b) { b.sums_of_squares(out, matrices, along, scale); });
}

void RecordingBackend::adaptive_factors(Tensor factors, const Slots& slots, Tensor update_sums, Tensor gradient_sums,
                                        const AdaptRule& rule) {
  record(fmt::format("adaptive_factors{}", rule.normuon ? " normuon" : ""), {factors, update_sums, gradient_sums},
         [=](Backend& b) { b.adaptive_factors(factors, slots, update_sums, gradient_sums, rule); });
}

void RecordingBackend::second_moment(Tensor update, const Slots& slots, float beta, float eps) {
  record("second_moment", with({update}, slots), [=](Backend& b) { b.second_moment(update, slots, beta, eps); });
}

void RecordingBackend::apply(Tensor update, const Slots& slots, Tensor factors, const ApplyRule& rule) {
  record("apply", with({update, factors}, slots), [=](Backend& b) { b.apply(update, slots, factors, rule); });
}

}  // namespace rowan
