// Backend's functions for a model, from the embedding to the loss, and for matrix products. They check arguments and
// call do_NAME. The default implementations of fused operations are here too.
#include "kernels/operation.h"

namespace rowan {
namespace {

std::string activation_name(Activation kind) {
  static const char* const names[activation_count] = {"silu", "gelu_tanh", "gelu_erf", "relu_squared"};
  return fmt::format(" {}", names[static_cast<int>(kind)]);
}

std::string variant(const Operand& a, const Operand& b, Result result) {
  return fmt::format("{}{}{}", result == Result::symmetric ? " symmetric" : "", a.transposed ? " a^T" : "",
                     b.transposed ? " b^T" : "");
}

}  // namespace

void Backend::embedding_forward(Tensor out, Tensor tokens, Tensor table, Tensor positions, int64_t seq,
                                Tensor position_ids) {
  Operation op(*this, "embedding_forward");
  op.compute("table", table);
  op.rank("table", table, 2);
  op.rank("tokens", tokens, 1);
  op.is("tokens", tokens, DType::i32, {tokens.dim(0)});
  op.compute("out", out);
  op.is("out", out, out.dtype == DType::f32 ? DType::f32 : table.dtype, {tokens.dim(0), table.dim(1)});
  op.positive("seq", seq);
  if (!positions.empty()) {
    op.is("positions", positions, table.dtype, {positions.dim(0), table.dim(1)});
    if (positions.dim(0) < seq)
      fail("embedding_forward: positions: found {}, expected at least {} rows (seq)", positions.describe(), seq);
  }
  op.optional("position_ids", position_ids, DType::i32, {tokens.dim(0)});
  op.token_ids("token", tokens, table.dim(0), false);
  op.run(out, &Backend::do_embedding_forward, out, tokens, table, positions, seq, position_ids);
}

void Backend::embedding_backward(Tensor d_table, Tensor d_positions, Tensor dout, Tensor tokens, int64_t seq) {
  Operation op(*this, "embedding_backward");
  op.compute("d_table", d_table);
  op.rank("d_table", d_table, 2);
  op.rank("tokens", tokens, 1);
  op.is("tokens", tokens, DType::i32, {tokens.dim(0)});
  op.gradient("dout", dout, {tokens.dim(0), d_table.dim(1)});
  op.positive("seq", seq);
  if (!d_positions.empty()) {
    op.gradient("d_positions", d_positions, {d_positions.dim(0), d_table.dim(1)});
    if (d_positions.dim(0) < seq)
      fail("embedding_backward: d_positions: found {}, expected at least {} rows (seq)", d_positions.describe(), seq);
  }
  op.token_ids("token", tokens, d_table.dim(0), false);
  op.run(dout, &Backend::do_embedding_backward, d_table, d_positions, dout, tokens, seq);
}

void Backend::find_documents(Tensor documents, Tensor tokens, const DocumentRule& rule, int64_t seq) {
  Operation op(*this, "find_documents");
  op.rank("tokens", tokens, 1);
  op.is("tokens", tokens, DType::i32, {tokens.dim(0)});
  op.is("documents", documents, DType::i32, {3, tokens.dim(0)});
  op.rows_of("tokens", tokens, seq);
  op.run(tokens, &Backend::do_find_documents, documents, tokens, rule, seq);
}

void Backend::dropout(Tensor x, const Dropout& rule, int64_t seq) {
  Operation op(*this, "dropout");
  op.compute("x", x);
  op.rank("x", x, 2);
  op.rows_of("x", x, seq);
  op.dropout(rule, x.dim(0) / seq);
  op.run(x, &Backend::do_dropout, x, rule, seq);
}

void Backend::norm_forward(const NormForward& norm) {
  Operation op(*this, "norm_forward");
  const Tensor &residual = norm.residual, &weight = norm.weight;
  op.norm(norm.kind, "residual", residual, "out", norm.out, weight, norm.mean, norm.rstd);
  op.optional("branch", norm.branch, weight.dtype, {residual.dim(0), residual.dim(1)});
  if (norm.branch.empty())
    op.absent("sum", norm.sum, "without a branch");
  else
    op.same("sum", norm.sum, residual);
  op.optional("bias", norm.bias, weight.dtype, {residual.dim(1)});
  op.run(residual, &Backend::do_norm_forward, norm);
}

void Backend::norm_backward(const NormBackward& norm) {
  Operation op(*this, "norm_backward");
  const Tensor& r = norm.r;
  op.norm(norm.kind, "r", r, "dout", norm.dout, norm.weight, norm.mean, norm.rstd);
  op.same("d_residual", norm.d_residual, r);
  op.gradient("d_weight", norm.d_weight, {r.dim(1)});
  if (!norm.d_bias.empty()) op.gradient("d_bias", norm.d_bias, {r.dim(1)});
  op.run(r, &Backend::do_norm_backward, norm);
}

void Backend::linear_forward(Tensor out, Tensor in, Tensor weight, Tensor bias) {
  Operation op(*this, "linear_forward");
  op.linear("out", out, in, weight, bias);
  op.run(weight, &Backend::do_linear_forward, out, in, weight, bias);
}

void Backend::linear_backward_input(Tensor din, Tensor dout, Tensor weight, bool accumulate) {
  Operation op(*this, "linear_backward_input");
  op.linear_input("din", din, dout, weight);
  op.run(weight, &Backend::do_linear_backward_input, din, dout, weight, accumulate);
}

void Backend::linear_backward_weight(Tensor d_weight, Tensor d_bias, Tensor dout, Tensor in, bool accumulate) {
  Operation op(*this, "linear_backward_weight");
  op.compute("dout", dout);
  op.rank("dout", dout, 2);
  op.rank("in", in, 2);
  op.is("in", in, dout.dtype, {dout.dim(0), in.dim(1)});
  op.gradient("d_weight", d_weight, {dout.dim(1), in.dim(1)});
  if (!d_bias.empty()) op.gradient("d_bias", d_bias, {dout.dim(1)});
  op.run(d_weight, &Backend::do_linear_backward_weight, d_weight, d_bias, dout, in, accumulate);
}

void Backend::matmul(Tensor c, const Operand& a, const Operand& b, float alpha, float beta, Result result) {
  Operation op(*this, "matmul");
  op.product(c, a, b, result);
  op.detail([&] { return variant(a, b, result); });
  op.run(c, &Backend::do_matmul, c, a, b, alpha, beta, result);
}

void Backend::matmul_add(Tensor c, Tensor source, const Operand& a, const Operand& b, float alpha, float beta,
                         Result result) {
  Operation op(*this, "matmul_add");
  op.product(c, a, b, result);
  op.same("source", source, c);
  op.detail([&] { return variant(a, b, result); });
  op.run(c, &Backend::do_matmul_add, c, source, a, b, alpha, beta, result);
}

void Backend::do_matmul_add(Tensor c, Tensor source, const Operand& a, const Operand& b, float alpha, float beta,
                            Result result) {
  do_copy(c, source);
  do_matmul(c, a, b, alpha, beta, result);
}

void Backend::linear_activation_forward(Activation kind, Tensor out, Tensor pre, Tensor in, Tensor weight,
                                        Tensor bias) {
  Operation op(*this, "linear_activation_forward");
  op.linear("pre", pre, in, weight, bias);
  op.same("out", out, pre);
  op.detail([&] { return activation_name(kind); });
  op.run(weight, &Backend::do_linear_activation_forward, kind, out, pre, in, weight, bias);
}

void Backend::do_linear_activation_forward(Activation kind, Tensor out, Tensor pre, Tensor in, Tensor weight,
                                           Tensor bias) {
  do_linear_forward(pre, in, weight, bias);
  do_activation_forward(kind, out, pre);
}

void Backend::linear_activation_backward(Activation kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre) {
  Operation op(*this, "linear_activation_backward");
  op.linear_input("d_pre", d_pre, dout, weight);
  op.same("pre", pre, d_pre);
  op.detail([&] { return activation_name(kind); });
  op.run(weight, &Backend::do_linear_activation_backward, kind, d_pre, dout, weight, pre);
}

void Backend::do_linear_activation_backward(Activation kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre) {
  do_linear_backward_input(d_pre, dout, weight, false);
  do_activation_backward(kind, d_pre, d_pre, pre);
}

void Backend::head_norm_forward(Tensor out, Tensor in, Tensor weight, const AttentionShape& shape, float eps) {
  Operation op(*this, "head_norm_forward");
  op.attention(shape);
  op.compute("in", in);
  op.is("in", in, in.dtype, {shape.tokens(), shape.qkv_width()});
  op.same("out", out, in);
  op.optional("weight", weight, in.dtype, {2 * shape.head_dim});
  op.run(in, &Backend::do_head_norm_forward, out, in, weight, shape, eps);
}

void Backend::head_norm_backward(Tensor dqkv, Tensor d_weight, Tensor in, Tensor weight, const AttentionShape& shape,
                                 float eps) {
  Operation op(*this, "head_norm_backward");
  op.attention(shape);
  op.compute("in", in);
  op.is("in", in, in.dtype, {shape.tokens(), shape.qkv_width()});
  op.same("dqkv", dqkv, in);
  op.optional("weight", weight, in.dtype, {2 * shape.head_dim});
  if (weight.empty())
    op.absent("d_weight", d_weight, "without a weight");
  else
    op.gradient("d_weight", d_weight, {2 * shape.head_dim});
  op.run(in, &Backend::do_head_norm_backward, dqkv, d_weight, in, weight, shape, eps);
}

void Backend::rope(Tensor qkv, Tensor table, const AttentionShape& shape, bool inverse) {
  Operation op(*this, "rope");
  op.attention(shape);
  op.even_heads(shape);
  op.compute("qkv", qkv);
  op.is("qkv", qkv, qkv.dtype, {shape.tokens(), shape.qkv_width()});
  op.is("table", table, DType::f32, {shape.seq, shape.head_dim});
  op.run(qkv, &Backend::do_rope, qkv, table, shape, inverse);
}

void Backend::attention_forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& shape,
                                const AttentionRule& rule) {
  Operation op(*this, "attention_forward");
  op.attention(shape, rule);
  op.absent("rope", rule.rope, "in the forward");
  op.compute("qkv", qkv);
  op.is("qkv", qkv, qkv.dtype, {shape.tokens(), shape.qkv_width()});
  op.is("out", out, qkv.dtype, {shape.tokens(), shape.out_width()});
  op.is("log_sum_exp", log_sum_exp, DType::f32, {shape.batch, shape.heads, shape.seq});
  op.run(qkv, &Backend::do_attention_forward, out, log_sum_exp, qkv, shape, rule);
}

void Backend::attention_backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv,
                                 const AttentionShape& shape, const AttentionRule& rule) {
  Operation op(*this, "attention_backward");
  op.attention(shape, rule);
  op.compute("qkv", qkv);
  op.is("qkv", qkv, qkv.dtype, {shape.tokens(), shape.qkv_width()});
  op.same("dqkv", dqkv, qkv);
  op.is("out", out, qkv.dtype, {shape.tokens(), shape.out_width()});
  op.same("dout", dout, out);
  op.is("log_sum_exp", log_sum_exp, DType::f32, {shape.batch, shape.heads, shape.seq});
  op.run(qkv, &Backend::do_attention_backward, dqkv, dout, out, log_sum_exp, qkv, shape, rule);
}

void Backend::gated_forward(Activation kind, Tensor out, Tensor gate_up) {
  Operation op(*this, "gated_forward");
  op.compute("out", out);
  op.rank("out", out, 2);
  op.is("gate_up", gate_up, out.dtype, {out.dim(0), 2 * out.dim(1)});
  op.detail([&] { return activation_name(kind); });
  op.run(gate_up, &Backend::do_gated_forward, kind, out, gate_up);
}

void Backend::gated_backward(Activation kind, Tensor d_gate_up, Tensor dout, Tensor gate_up) {
  Operation op(*this, "gated_backward");
  op.compute("dout", dout);
  op.rank("dout", dout, 2);
  op.is("gate_up", gate_up, dout.dtype, {dout.dim(0), 2 * dout.dim(1)});
  op.same("d_gate_up", d_gate_up, gate_up);
  op.detail([&] { return activation_name(kind); });
  op.run(gate_up, &Backend::do_gated_backward, kind, d_gate_up, dout, gate_up);
}

void Backend::activation_forward(Activation kind, Tensor out, Tensor in) {
  Operation op(*this, "activation_forward");
  op.compute("in", in);
  op.same("out", out, in);
  op.detail([&] { return activation_name(kind); });
  op.run(in, &Backend::do_activation_forward, kind, out, in);
}

void Backend::activation_backward(Activation kind, Tensor din, Tensor dout, Tensor in) {
  Operation op(*this, "activation_backward");
  op.compute("in", in);
  op.same("dout", dout, in);
  op.same("din", din, in);
  op.detail([&] { return activation_name(kind); });
  op.run(in, &Backend::do_activation_backward, kind, din, dout, in);
}

void Backend::cross_entropy(Tensor losses, Tensor logits, Tensor targets, const LossRule& rule, float grad_scale,
                            bool gradient) {
  Operation op(*this, "cross_entropy");
  op.compute("logits", logits);
  op.rank("logits", logits, 2);
  if (rule.vocabulary < 1 || rule.vocabulary > logits.dim(1))
    fail("cross_entropy: vocabulary: found {}, expected 1 to {}, the width of logits", rule.vocabulary, logits.dim(1));
  if (!(rule.softcap >= 0)) fail("cross_entropy: softcap: found {}, expected at least 0", rule.softcap);
  op.is("losses", losses, DType::f32, {logits.dim(0)});
  op.is("targets", targets, DType::i32, {logits.dim(0)});
  op.token_ids("target", targets, rule.vocabulary, true);
  op.run(logits, &Backend::do_cross_entropy, losses, logits, targets, rule, grad_scale, gradient);
}

}  // namespace rowan
