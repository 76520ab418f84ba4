// The model's operations, counted.
#include <algorithm>

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

void DryBackend::do_scale(Tensor x, float) { count(OpFamily::elementwise, {x}, {x}); }

void DryBackend::do_add(Tensor y, Tensor x) { count(OpFamily::elementwise, {y, x}, {y}); }

void DryBackend::do_lerp(Tensor y, Tensor x, float) { count(OpFamily::elementwise, {y, x}, {y}); }

void DryBackend::do_clamp_forward(Tensor x, int64_t, int64_t, float) { count(OpFamily::elementwise, {x}, {x}); }

void DryBackend::do_clamp_backward(Tensor dx, Tensor x, int64_t, int64_t, float) {
  count(OpFamily::elementwise, {dx, x}, {dx});
}

void DryBackend::do_sum(Tensor out, Tensor x, bool) { count(OpFamily::elementwise, {x}, {out}); }

void DryBackend::do_sum_squares(Tensor out, const std::vector<Tensor>& xs) {
  Work& work = count(OpFamily::elementwise, {}, {out});
  for (const Tensor& x : xs) work.bytes += static_cast<double>(x.bytes());
}

void DryBackend::do_embedding_forward(Tensor out, Tensor tokens, Tensor table, Tensor positions, int64_t, Tensor) {
  count(OpFamily::embedding, {tokens, touched(table, tokens), positions}, {out});
}

void DryBackend::do_embedding_backward(Tensor d_table, Tensor d_positions, Tensor dout, Tensor tokens, int64_t) {
  Tensor rows = touched(d_table, tokens);
  count(OpFamily::embedding, {tokens, dout, rows, d_positions}, {rows, d_positions});
}

void DryBackend::do_find_documents(Tensor documents, Tensor tokens, const DocumentRule&, int64_t) {
  count(OpFamily::embedding, {tokens}, {documents});
}

void DryBackend::do_dropout(Tensor x, const Dropout&, int64_t) { count(OpFamily::elementwise, {x}, {x}); }

void DryBackend::do_norm_forward(const NormForward& norm) {
  count(OpFamily::norm, {norm.residual, norm.branch, norm.weight, norm.bias},
        {norm.out, norm.sum, norm.mean, norm.rstd});
}

void DryBackend::do_norm_backward(const NormBackward& norm) {
  count(OpFamily::norm,
        {norm.dout, norm.r, norm.weight, norm.mean, norm.rstd, norm.d_weight, norm.d_bias,
         norm.accumulate ? norm.d_residual : Tensor()},
        {norm.d_residual, norm.d_weight, norm.d_bias});
}

void DryBackend::do_linear_forward(Tensor out, Tensor in, Tensor weight, Tensor bias) {
  count(OpFamily::product, {in, weight, bias}, {out});
  double flops = product_flops(in.dim(0), weight.dim(0), in.dim(1));
  count_products(OpFamily::product, flops, flops);
}

void DryBackend::do_linear_backward_input(Tensor din, Tensor dout, Tensor weight, bool accumulate) {
  count(OpFamily::product, {dout, weight, accumulate ? din : Tensor()}, {din});
  double flops = product_flops(dout.dim(0), weight.dim(1), dout.dim(1));
  count_products(OpFamily::product, flops, flops);
}

void DryBackend::do_linear_backward_weight(Tensor d_weight, Tensor d_bias, Tensor dout, Tensor in) {
  count(OpFamily::product, {dout, in, d_weight, d_bias}, {d_weight, d_bias});
  double flops = product_flops(dout.dim(1), in.dim(1), dout.dim(0));
  count_products(OpFamily::product, flops, flops);
}

void DryBackend::do_matmul(Tensor c, const Operand& a, const Operand& b, float, float beta) {
  count(OpFamily::product, {a.x, b.x, beta != 0 ? c : Tensor()}, {c});
  double flops = product_flops(c.rows(), c.cols(), a.cols());
  count_products(OpFamily::product, flops, flops);
}

void DryBackend::do_head_norm_forward(Tensor out, Tensor in, Tensor weight, const AttentionShape&, float) {
  count(OpFamily::norm, {in, weight}, {out});
}

void DryBackend::do_head_norm_backward(Tensor dqkv, Tensor d_weight, Tensor in, Tensor weight, const AttentionShape&,
                                       float) {
  count(OpFamily::norm, {dqkv, in, weight, d_weight}, {dqkv, d_weight});
}

void DryBackend::do_rope(Tensor qkv, Tensor table, const AttentionShape&, bool) {
  count(OpFamily::rope, {qkv, table}, {qkv});
}

void DryBackend::do_attention_forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& shape,
                                      const AttentionRule& rule) {
  count(OpFamily::attention, {qkv, rule.documents}, {out, log_sum_exp});
  Scores one(shape);
  count_products(OpFamily::attention, 2 * one.full, 2 * one.causal);
}

void DryBackend::do_attention_backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv,
                                       const AttentionShape& shape, const AttentionRule& rule) {
  count(OpFamily::attention, {dout, out, log_sum_exp, qkv, rule.documents}, {dqkv});
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

void DryBackend::do_gated_forward(Activation, Tensor out, Tensor gate_up) {
  count(OpFamily::activation, {gate_up}, {out});
}

void DryBackend::do_gated_backward(Activation, Tensor d_gate_up, Tensor dout, Tensor gate_up) {
  count(OpFamily::activation, {dout, gate_up}, {d_gate_up});
}

void DryBackend::do_activation_forward(Activation, Tensor out, Tensor in) { count(OpFamily::activation, {in}, {out}); }

void DryBackend::do_activation_backward(Activation, Tensor din, Tensor dout, Tensor in) {
  count(OpFamily::activation, {dout, in}, {din});
}

void DryBackend::do_cross_entropy(Tensor losses, Tensor logits, Tensor targets, const LossRule&, float, bool gradient) {
  count(OpFamily::loss, {logits, targets}, {losses, gradient ? logits : Tensor()});
}

}  // namespace rowan
