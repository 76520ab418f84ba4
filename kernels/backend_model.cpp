// The front of Backend: the operations of a model, from the embedding to the loss.
#include "kernels/operation.h"

namespace rowan {
namespace {

std::string transpositions(const Operand& a, const Operand& b) {
  return fmt::format("{}{}", a.transposed ? " a^T" : "", b.transposed ? " b^T" : "");
}

}  // namespace

void Backend::embedding_forward(Tensor out, Tensor tokens, Tensor table, Tensor positions, int64_t seq) {
  Operation op(*this, "embedding_forward");
  op.compute("table", table);
  op.rank("table", table, 2);
  op.rank("tokens", tokens, 1);
  op.is("tokens", tokens, DType::i32, {tokens.dim(0)});
  op.is("out", out, table.dtype, {tokens.dim(0), table.dim(1)});
  op.positive("seq", seq);
  if (!positions.empty()) {
    op.is("positions", positions, table.dtype, {positions.dim(0), table.dim(1)});
    if (positions.dim(0) < seq)
      fail("embedding_forward: positions is {}, must have at least {} rows (seq)", positions.describe(), seq);
  }
  op.token_ids(tokens, table.dim(0), false);
  op.run(out, &Backend::do_embedding_forward, out, tokens, table, positions, seq);
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
      fail("embedding_backward: d_positions is {}, must have at least {} rows (seq)", d_positions.describe(), seq);
  }
  op.token_ids(tokens, d_table.dim(0), false);
  op.run(dout, &Backend::do_embedding_backward, d_table, d_positions, dout, tokens, seq);
}

void Backend::norm_forward(const NormForward& norm) {
  Operation op(*this, "norm_forward");
  const Tensor& residual = norm.residual;
  op.compute("residual", residual);
  op.rank("residual", residual, 2);
  const int64_t n = residual.dim(0), c = residual.dim(1);
  op.same("out", norm.out, residual);
  op.optional("branch", norm.branch, residual.dtype, {n, c});
  if (norm.branch.empty())
    op.absent("sum", norm.sum, "without a branch");
  else
    op.same("sum", norm.sum, residual);
  op.is("weight", norm.weight, residual.dtype, {c});
  op.optional("bias", norm.bias, residual.dtype, {c});
  op.statistics(norm.kind, norm.mean, norm.rstd, n);
  op.run(residual, &Backend::do_norm_forward, norm);
}

void Backend::norm_backward(const NormBackward& norm) {
  Operation op(*this, "norm_backward");
  const Tensor& r = norm.r;
  op.compute("r", r);
  op.rank("r", r, 2);
  const int64_t n = r.dim(0), c = r.dim(1);
  op.same("dout", norm.dout, r);
  op.same("d_residual", norm.d_residual, r);
  op.is("weight", norm.weight, r.dtype, {c});
  op.gradient("d_weight", norm.d_weight, {c});
  if (!norm.d_bias.empty()) op.gradient("d_bias", norm.d_bias, {c});
  op.statistics(norm.kind, norm.mean, norm.rstd, n);
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

void Backend::linear_backward_weight(Tensor d_weight, Tensor d_bias, Tensor dout, Tensor in) {
  Operation op(*this, "linear_backward_weight");
  op.compute("dout", dout);
  op.rank("dout", dout, 2);
  op.rank("in", in, 2);
  op.is("in", in, dout.dtype, {dout.dim(0), in.dim(1)});
  op.gradient("d_weight", d_weight, {dout.dim(1), in.dim(1)});
  if (!d_bias.empty()) op.gradient("d_bias", d_bias, {dout.dim(1)});
  op.run(d_weight, &Backend::do_linear_backward_weight, d_weight, d_bias, dout, in);
}

void Backend::matmul(Tensor c, const Operand& a, const Operand& b, float alpha, float beta) {
  Operation op(*this, "matmul");
  op.product(c, a, b);
  op.detail([&] { return transpositions(a, b); });
  op.run(c, &Backend::do_matmul, c, a, b, alpha, beta);
}

void Backend::matmul_add(Tensor c, Tensor source, const Operand& a, const Operand& b, float alpha, float beta) {
  Operation op(*this, "matmul_add");
  op.product(c, a, b);
  op.same("source", source, c);
  op.detail([&] { return transpositions(a, b); });
  op.run(c, &Backend::do_matmul_add, c, source, a, b, alpha, beta);
}

void Backend::do_matmul_add(Tensor c, Tensor source, const Operand& a, const Operand& b, float alpha, float beta) {
  do_copy(c, source);
  do_matmul(c, a, b, alpha, beta);
}

void Backend::linear_gelu_forward(Gelu kind, Tensor out, Tensor pre, Tensor in, Tensor weight, Tensor bias) {
  Operation op(*this, "linear_gelu_forward");
  op.linear("pre", pre, in, weight, bias);
  op.same("out", out, pre);
  op.run(weight, &Backend::do_linear_gelu_forward, kind, out, pre, in, weight, bias);
}

void Backend::do_linear_gelu_forward(Gelu kind, Tensor out, Tensor pre, Tensor in, Tensor weight, Tensor bias) {
  do_linear_forward(pre, in, weight, bias);
  do_gelu_forward(kind, out, pre);
}

void Backend::linear_gelu_backward(Gelu kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre) {
  Operation op(*this, "linear_gelu_backward");
  op.linear_input("d_pre", d_pre, dout, weight);
  op.same("pre", pre, d_pre);
  op.run(weight, &Backend::do_linear_gelu_backward, kind, d_pre, dout, weight, pre);
}

void Backend::do_linear_gelu_backward(Gelu kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre) {
  do_linear_backward_input(d_pre, dout, weight, false);
  do_gelu_backward(kind, d_pre, d_pre, pre);
}

void Backend::rope(Tensor qkv, Tensor table, const AttentionShape& shape, bool inverse) {
  Operation op(*this, "rope");
  op.attention(shape);
  if (shape.head_dim % 2 != 0) fail("rope: head_dim is {}, must be even", shape.head_dim);
  op.compute("qkv", qkv);
  op.is("qkv", qkv, qkv.dtype, {shape.tokens(), shape.qkv_width()});
  op.is("table", table, DType::f32, {shape.seq, shape.head_dim});
  op.run(qkv, &Backend::do_rope, qkv, table, shape, inverse);
}

void Backend::attention_forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& shape) {
  Operation op(*this, "attention_forward");
  op.attention(shape);
  op.compute("qkv", qkv);
  op.is("qkv", qkv, qkv.dtype, {shape.tokens(), shape.qkv_width()});
  op.is("out", out, qkv.dtype, {shape.tokens(), shape.out_width()});
  op.is("log_sum_exp", log_sum_exp, DType::f32, {shape.batch, shape.heads, shape.seq});
  op.run(qkv, &Backend::do_attention_forward, out, log_sum_exp, qkv, shape);
}

void Backend::attention_backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv,
                                 const AttentionShape& shape) {
  Operation op(*this, "attention_backward");
  op.attention(shape);
  op.compute("qkv", qkv);
  op.is("qkv", qkv, qkv.dtype, {shape.tokens(), shape.qkv_width()});
  op.same("dqkv", dqkv, qkv);
  op.is("out", out, qkv.dtype, {shape.tokens(), shape.out_width()});
  op.same("dout", dout, out);
  op.is("log_sum_exp", log_sum_exp, DType::f32, {shape.batch, shape.heads, shape.seq});
  op.run(qkv, &Backend::do_attention_backward, dqkv, dout, out, log_sum_exp, qkv, shape);
}

void Backend::swiglu_forward(Tensor out, Tensor gate_up) {
  Operation op(*this, "swiglu_forward");
  op.compute("out", out);
  op.rank("out", out, 2);
  op.is("gate_up", gate_up, out.dtype, {out.dim(0), 2 * out.dim(1)});
  op.run(gate_up, &Backend::do_swiglu_forward, out, gate_up);
}

void Backend::swiglu_backward(Tensor d_gate_up, Tensor dout, Tensor gate_up) {
  Operation op(*this, "swiglu_backward");
  op.compute("dout", dout);
  op.rank("dout", dout, 2);
  op.is("gate_up", gate_up, dout.dtype, {dout.dim(0), 2 * dout.dim(1)});
  op.same("d_gate_up", d_gate_up, gate_up);
  op.run(gate_up, &Backend::do_swiglu_backward, d_gate_up, dout, gate_up);
}

void Backend::gelu_forward(Gelu kind, Tensor out, Tensor in) {
  Operation op(*this, "gelu_forward");
  op.compute("in", in);
  op.same("out", out, in);
  op.run(in, &Backend::do_gelu_forward, kind, out, in);
}

void Backend::gelu_backward(Gelu kind, Tensor din, Tensor dout, Tensor in) {
  Operation op(*this, "gelu_backward");
  op.compute("in", in);
  op.same("dout", dout, in);
  op.same("din", din, in);
  op.run(in, &Backend::do_gelu_backward, kind, din, dout, in);
}

void Backend::cross_entropy(Tensor losses, Tensor logits, Tensor targets, int64_t vocabulary, float grad_scale,
                            bool gradient) {
  Operation op(*this, "cross_entropy");
  op.compute("logits", logits);
  op.rank("logits", logits, 2);
  if (vocabulary < 1 || vocabulary > logits.dim(1))
    fail("cross_entropy: vocabulary is {}, must be 1 to {}, the width of logits", vocabulary, logits.dim(1));
  op.is("losses", losses, DType::f32, {logits.dim(0)});
  op.is("targets", targets, DType::i32, {logits.dim(0)});
  op.token_ids(targets, vocabulary, true);
  op.run(logits, &Backend::do_cross_entropy, losses, logits, targets, vocabulary, grad_scale, gradient);
}

}  // namespace rowan
