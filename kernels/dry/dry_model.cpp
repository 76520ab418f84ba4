// The model's operations: check, and count.
#include <algorithm>

#include "kernels/check.h"
#include "kernels/dry/dry_backend.h"

namespace rowan {
namespace {

double product_flops(int64_t m, int64_t n, int64_t k) {
  return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
}

// Rows of the table that the tokens can touch.
Tensor touched(Tensor table, Tensor tokens) {
  return tokens.numel() < table.dim(0) ? table.slice(0, tokens.numel()) : table;
}

// FLOPs of one product per score over every head, and the part below the mask.
struct Scores {
  double full, causal;
  explicit Scores(const AttentionShape& s)
      : full(2.0 * static_cast<double>(s.batch * s.heads * s.seq) * static_cast<double>(s.seq * s.head_dim)),
        causal(full * static_cast<double>(s.seq + 1) / static_cast<double>(2 * s.seq)) {}
};

}  // namespace

void DryBackend::scale(Tensor x, float) {
  check::scale(x);
  count(OpFamily::elementwise, {x}, {x});
}

void DryBackend::add(Tensor y, Tensor x) {
  check::add(y, x);
  count(OpFamily::elementwise, {y, x}, {y});
}

void DryBackend::clamp_forward(Tensor x, int64_t begin, int64_t end, float limit) {
  check::clamp_forward(x, begin, end, limit);
  count(OpFamily::elementwise, {x}, {x});
}

void DryBackend::clamp_backward(Tensor dx, Tensor x, int64_t begin, int64_t end, float limit) {
  check::clamp_backward(dx, x, begin, end, limit);
  count(OpFamily::elementwise, {dx, x}, {dx});
}

void DryBackend::sum(Tensor out, Tensor x, bool) {
  check::sum(out, x);
  count(OpFamily::elementwise, {x}, {out});
}

void DryBackend::sum_squares(Tensor out, const std::vector<Tensor>& xs) {
  check::sum_squares(out, xs);
  Work& work = count(OpFamily::elementwise, {}, {out});
  for (const Tensor& x : xs) work.bytes += static_cast<double>(x.bytes());
}

void DryBackend::embedding_forward(Tensor out, Tensor tokens, Tensor table, Tensor positions, int64_t seq) {
  check::embedding_forward(out, tokens, table, positions, seq);
  count(OpFamily::embedding, {tokens, touched(table, tokens), positions}, {out});
}

void DryBackend::embedding_backward(Tensor d_table, Tensor d_positions, Tensor dout, Tensor tokens, int64_t seq) {
  check::embedding_backward(d_table, d_positions, dout, tokens, seq);
  Tensor rows = touched(d_table, tokens);
  count(OpFamily::embedding, {tokens, dout, rows, d_positions}, {rows, d_positions});
}

void DryBackend::norm_forward(Norm kind, Tensor out, Tensor sum, Tensor mean, Tensor rstd, Tensor residual,
                              Tensor branch, Tensor weight, Tensor bias, float) {
  check::norm_forward(kind, out, sum, mean, rstd, residual, branch, weight, bias);
  count(OpFamily::norm, {residual, branch, weight, bias}, {out, sum, mean, rstd});
}

void DryBackend::norm_backward(Norm kind, Tensor d_residual, Tensor d_weight, Tensor d_bias, Tensor dout, Tensor r,
                               Tensor weight, Tensor mean, Tensor rstd, bool accumulate) {
  check::norm_backward(kind, d_residual, d_weight, d_bias, dout, r, weight, mean, rstd);
  count(OpFamily::norm, {dout, r, weight, mean, rstd, d_weight, d_bias, accumulate ? d_residual : Tensor()},
        {d_residual, d_weight, d_bias});
}

void DryBackend::linear_forward(Tensor out, Tensor in, Tensor weight, Tensor bias) {
  check::linear_forward(out, in, weight, bias);
  count(OpFamily::product, {in, weight, bias}, {out});
  double flops = product_flops(in.dim(0), weight.dim(0), in.dim(1));
  count_products(OpFamily::product, flops, flops);
}

void DryBackend::linear_backward_input(Tensor din, Tensor dout, Tensor weight, bool accumulate) {
  check::linear_backward_input(din, dout, weight);
  count(OpFamily::product, {dout, weight, accumulate ? din : Tensor()}, {din});
  double flops = product_flops(dout.dim(0), weight.dim(1), dout.dim(1));
  count_products(OpFamily::product, flops, flops);
}

void DryBackend::linear_backward_weight(Tensor d_weight, Tensor d_bias, Tensor dout, Tensor in) {
  check::linear_backward_weight(d_weight, d_bias, dout, in);
  count(OpFamily::product, {dout, in, d_weight, d_bias}, {d_weight, d_bias});
  double flops = product_flops(dout.dim(1), in.dim(1), dout.dim(0));
  count_products(OpFamily::product, flops, flops);
}

void DryBackend::matmul(Tensor c, Tensor a, bool transpose_a, Tensor b, bool transpose_b, float, float beta) {
  check::matmul(c, a, transpose_a, b, transpose_b);
  count(OpFamily::product, {a, b, beta != 0 ? c : Tensor()}, {c});
  int64_t k = a.dim(transpose_a ? a.rank - 2 : a.rank - 1);
  double flops = product_flops(c.rows(), c.cols(), k);
  count_products(OpFamily::product, flops, flops);
}

void DryBackend::rope(Tensor qkv, Tensor table, const AttentionShape& shape, bool) {
  check::rope(qkv, table, shape);
  count(OpFamily::rope, {qkv, table}, {qkv});
}

void DryBackend::attention_forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& shape) {
  check::attention_forward(out, log_sum_exp, qkv, shape);
  count(OpFamily::attention, {qkv}, {out, log_sum_exp});
  Scores one(shape);
  count_products(OpFamily::attention, 2 * one.full, 2 * one.causal);
}

void DryBackend::attention_backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv,
                                    const AttentionShape& shape) {
  check::attention_backward(dqkv, dout, out, log_sum_exp, qkv, shape);
  count(OpFamily::attention, {dout, out, log_sum_exp, qkv}, {dqkv});
  Scores one(shape);
  count_products(OpFamily::attention, 4 * one.full, 4 * one.causal);
}

// The most that cuDNN 9.19 asks for. To be deterministic its backward stores a bf16 score for every query and key, in
// tiles (not on GPUs of compute capability 10.0); and with grouped-query heads the gradients of keys and values of
// every query head before it adds them up, in bf16 (10.0: in fp32). Its frontend keeps an fp32 sum a row.
void DryBackend::plan_attention(const AttentionShape& s, DType) {
  if (attention_ != AttentionKernels::cudnn) return;
  auto whole = [](int64_t n, int64_t of) { return (n + of - 1) / of * of; };
  const int64_t rows = s.batch * s.heads, scores = 2 * rows * whole(s.seq, 128) * whole(s.seq, 64);
  const int64_t key_values = s.kv_heads < s.heads ? 2 * whole(2 * rows * s.seq * s.head_dim, 128) : 0;
  allocate(static_cast<size_t>(std::max(scores, key_values) + key_values + 4 * rows * s.seq + 256),
           Category::workspace);
}

void DryBackend::swiglu_forward(Tensor out, Tensor gate_up) {
  check::swiglu_forward(out, gate_up);
  count(OpFamily::activation, {gate_up}, {out});
}

void DryBackend::swiglu_backward(Tensor d_gate_up, Tensor dout, Tensor gate_up) {
  check::swiglu_backward(d_gate_up, dout, gate_up);
  count(OpFamily::activation, {dout, gate_up}, {d_gate_up});
}

void DryBackend::gelu_forward(Gelu, Tensor out, Tensor in) {
  check::gelu_forward(out, in);
  count(OpFamily::activation, {in}, {out});
}

void DryBackend::gelu_backward(Gelu, Tensor din, Tensor dout, Tensor in) {
  check::gelu_backward(din, dout, in);
  count(OpFamily::activation, {dout, in}, {din});
}

void DryBackend::cross_entropy(Tensor losses, Tensor logits, Tensor targets, int64_t vocabulary, float, bool gradient) {
  check::cross_entropy(losses, logits, targets, vocabulary);
  count(OpFamily::loss, {logits, targets}, {losses, gradient ? logits : Tensor()});
}

}  // namespace rowan
