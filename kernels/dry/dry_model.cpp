// Counts the operations of a model's passes. The elementwise operations and the sums are also used elsewhere.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/dry/dry_backend.h"
#include "kernels/gpu_workspace.h"

namespace rowan {
namespace {

double product_flops(int64_t m, int64_t n, int64_t k) {
  return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
}

// The largest part of the table that the tokens can refer to: at most one row per token.
Tensor touched(Tensor table, Tensor tokens) {
  return tokens.numel() < table.dim(0) ? table.slice(0, tokens.numel()) : table;
}

bool on_tensor_cores(const AttentionShape& shape, DType dtype) {
  return dtype == DType::bf16 && shape.head_dim % 8 == 0 && shape.head_dim <= 128;
}

// FLOPs of one attention product over all heads, with head_dim multiply-adds per score. full: for all scores. causal:
// for the unmasked scores. in_blocks: for all scores in blocks that are not fully masked. This is an estimate for GPU
// kernels, which compute whole tiles. A block has 128 by 128 scores, or 64 by 64 if head_dim is above 64. Each row
// counts as one document.
struct Scores {
  double full, causal, in_blocks;
  explicit Scores(const AttentionShape& s)
      : full(2.0 * static_cast<double>(s.batch * s.heads * s.seq) * static_cast<double>(s.seq * s.head_dim)),
        causal(full * static_cast<double>(s.seq + 1) / static_cast<double>(2 * s.seq)) {
    const int64_t block = attention_block_rows(s.head_dim), blocks = (s.seq + block - 1) / block;
    const double covered = static_cast<double>(block * blocks), seq = static_cast<double>(s.seq);
    in_blocks = full * covered * (covered + static_cast<double>(block)) / (2 * seq * seq);
  }
};

// Bytes that the backward of attention with owners moves beyond its operands and results: fp32 sums of dq, and tiles of
// q and dout that it reads again for each tile of keys. 0 if what the resident blocks come back to fits into the L2
// cache of the planned GPU: the sums of a block, and q and dout, which the owners of a head share. Each row counts as
// one document.
double rereads_of_backward(const AttentionShape& s, int64_t owners, int multiprocessors) {
  constexpr double rows = attention_tile_queries, sum_bytes = sizeof(float), value_bytes = 2;
  const double key_rows = static_cast<double>(attention_block_rows(s.head_dim)), seq = static_cast<double>(s.seq),
               heads = static_cast<double>(s.batch) * static_cast<double>(s.heads),
               dim = static_cast<double>(s.head_dim), group = static_cast<double>(s.heads / s.kv_heads),
               shared_by = static_cast<double>(owners),
               blocks = std::min(2.0 * multiprocessors, shared_by * heads / group);
  if (blocks * (sum_bytes + 2 * value_bytes / shared_by) * group * seq * dim <= planned_cache_bytes) return 0;
  const double queries = std::ceil(seq / rows);
  // Tiles of queries that the first `tiles` tiles of keys visit.
  auto visited = [&](double tiles) { return tiles * queries - key_rows / rows * tiles * (tiles - 1) / 2; };
  // An owner does not read sums on its first visits. A single owner does not write them on the last visits.
  const double visits = visited(std::ceil(seq / key_rows)), first = visited(shared_by),
               last = owners == 1 ? queries : 0;
  return heads * rows * dim * (2 * value_bytes * (visits - queries) + sum_bytes * (2 * visits - first - last));
}

}  // namespace

void DryBackend::count_product(const char* kind, const Tensor& named, DType dtype, Tensors reads, Tensors writes,
                               double flops) {
  count(OpFamily::product, reads, writes);
  count_products(OpFamily::product, flops, flops);
  const std::string shape = named.describe();  // for example "bf16[768, 768]"
  kernels_.back().name = kind + (" " + shape.substr(shape.find('[')));
  kernels_.back().dtype = dtype;
}

void DryBackend::do_scale(Tensor x, float) { count(OpFamily::elementwise, {x}, {x}); }

void DryBackend::do_add(Tensor y, Tensor x) { count(OpFamily::elementwise, {y, x}, {y}); }

void DryBackend::do_lerp(Tensor y, Tensor x, float) { count(OpFamily::elementwise, {y, x}, {y}); }

void DryBackend::do_clamp_forward(Tensor x, int64_t, int64_t, float) { count(OpFamily::elementwise, {x}, {x}); }

void DryBackend::do_clamp_backward(Tensor dx, Tensor x, int64_t, int64_t, float) {
  count(OpFamily::elementwise, {dx, x}, {dx});
}

void DryBackend::do_sum(Tensor out, Tensor x, bool) { count(OpFamily::elementwise, {x}, {out}); }

void DryBackend::do_sum_squares(Tensor out, const std::vector<Tensor>& xs) {
  count(OpFamily::elementwise, {}, {out});
  for (const Tensor& x : xs) touch(OpFamily::elementwise, {x});
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
  count_product("linear", weight, in.dtype, {in, weight, bias}, {out},
                product_flops(in.dim(0), weight.dim(0), in.dim(1)));
}

void DryBackend::do_linear_backward_input(Tensor din, Tensor dout, Tensor weight, bool accumulate) {
  count_product("linear", weight, dout.dtype, {dout, weight, accumulate ? din : Tensor()}, {din},
                product_flops(dout.dim(0), weight.dim(1), dout.dim(1)));
}

// If the weight gradient is fp32, a GPU may compute the bias gradient in the same kernel as the product
// (CudaBackend::try_bias_gradient). Otherwise a separate kernel sums the bias gradient, and reads dout a second time.
void DryBackend::do_linear_backward_weight(Tensor d_weight, Tensor d_bias, Tensor dout, Tensor in, bool accumulate) {
  const Tensor added[] = {accumulate ? d_weight : Tensor(), accumulate ? d_bias : Tensor()};
  count_product("linear", d_weight, dout.dtype, {dout, in, added[0], added[1]}, {d_weight, d_bias},
                product_flops(dout.dim(1), in.dim(1), dout.dim(0)));
  if (multiprocessors_ && dout.dtype == DType::f32 && d_weight.dtype == DType::bf16)
    use_scratch(sizeof(float) * static_cast<double>(d_weight.numel()));
  if (d_bias.empty()) return;
  const double bytes = static_cast<double>(dout.bytes() + (accumulate ? 2 : 1) * d_bias.bytes());
  kernels_.push_back(
      {"bias gradients", d_weight.dtype == DType::f32 ? Bound::epilogue : Bound::copy, dout.dtype, 1, 0, bytes});
}

void DryBackend::do_matmul(Tensor c, const Operand& a, const Operand& b, float, float beta, Result result) {
  count_matmul(c, beta != 0 ? c : Tensor(), a, b, result);
}

void DryBackend::do_matmul_add(Tensor c, Tensor source, const Operand& a, const Operand& b, float, float,
                               Result result) {
  count_matmul(c, source, a, b, result);
}

// If the result is symmetric, a GPU computes strips of rows, each up to the end of its diagonal block, and copies the
// lower triangle to the upper one in a separate kernel. For a CPU, the elements on and below the diagonal are counted.
void DryBackend::count_matmul(Tensor c, Tensor added, const Operand& a, const Operand& b, Result result) {
  const int64_t n = c.cols(), k = a.cols(), matrices = n ? c.rows() / n : 0;
  if (result == Result::any)
    return count_product("matmul", c, a.x.dtype, {a.x, b.x, added}, {c}, product_flops(c.rows(), n, k));
  const int64_t strip = multiprocessors_ ? symmetric_strip(n) : 1;
  double elements = 0;
  for (int64_t begin = 0; begin < n; begin += strip) {
    const int64_t end = std::min(n, begin + strip);
    elements += static_cast<double>((end - begin) * end);
  }
  count_product("symmetric matmul", c, a.x.dtype, {a.x, b.x, added}, {c},
                2 * elements * static_cast<double>(k) * static_cast<double>(matrices));
  if (multiprocessors_) kernels_.push_back({"mirror", Bound::copy, c.dtype, 1, 0, static_cast<double>(c.bytes())});
}

// A GPU fuses only the tanh form of GELU into the product, and only in bf16 (CudaBackend::fuses()).
void DryBackend::do_linear_activation_forward(Activation kind, Tensor out, Tensor pre, Tensor in, Tensor weight,
                                              Tensor bias) {
  Backend::do_linear_activation_forward(kind, out, pre, in, weight, bias);
  if (kind == Activation::gelu_tanh && out.dtype == DType::bf16) kernels_.back().bound = Bound::epilogue;
}

void DryBackend::do_linear_activation_backward(Activation kind, Tensor d_pre, Tensor dout, Tensor weight, Tensor pre) {
  Backend::do_linear_activation_backward(kind, d_pre, dout, weight, pre);
  if (kind == Activation::gelu_tanh && pre.dtype == DType::bf16) kernels_.back().bound = Bound::epilogue;
}

void DryBackend::do_head_norm_forward(Tensor out, Tensor in, Tensor weight, const AttentionShape&, float) {
  count(OpFamily::norm, {in, weight}, {out});
}

void DryBackend::do_head_norm_backward(Tensor dqkv, Tensor d_weight, Tensor in, Tensor weight, const AttentionShape&,
                                       float) {
  count(OpFamily::norm, {dqkv, in, weight, d_weight}, {dqkv, d_weight});
}

// The value heads are neither read nor written.
void DryBackend::do_rope(Tensor qkv, Tensor table, const AttentionShape& shape, bool) {
  Tensor rotated = qkv;
  rotated.shape[1] = (shape.heads + shape.kv_heads) * shape.head_dim;
  count(OpFamily::rope, {rotated, table}, {rotated});
}

void DryBackend::do_attention_forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& shape,
                                      const AttentionRule& rule) {
  count(OpFamily::attention, {qkv, rule.documents}, {out, log_sum_exp});
  count_attention(Bound::attention_forward, shape, qkv.dtype, 2, 2);
}

// On tensor cores, a GPU executes five products per score, with fp32 sums of dq in scratch memory. Without tensor
// cores, or if attention_owners() is 0, it executes seven products, because two kernels each compute the scores and the
// gradients of the softmax weights (kernels/cuda/attention_backward.cu). The kernels on tensor cores undo RoPE if
// head_dim is 32, 64, 96 or 128.
void DryBackend::do_attention_backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv,
                                       const AttentionShape& shape, const AttentionRule& rule) {
  count(OpFamily::attention, {dout, out, log_sum_exp, qkv, rule.documents, rule.rope}, {dqkv});
  const int multiprocessors = multiprocessors_ ? multiprocessors_ : planned_multiprocessors;
  const int64_t owners = on_tensor_cores(shape, qkv.dtype) ? attention_owners(shape, multiprocessors) : 0;
  count_attention(Bound::attention_backward, shape, qkv.dtype, 4, owners ? 5 : 7);
  if (owners) kernels_.back().bytes += rereads_of_backward(shape, owners, multiprocessors);
  const bool cudnn = attention_ == AttentionKernels::cudnn && rule.documents.empty() && rule.dropout.rate == 0;
  const bool rotates = on_tensor_cores(shape, qkv.dtype) && shape.head_dim % 32 == 0 && !cudnn;
  if (!rule.rope.empty() && !rotates) {
    operation_ = "rope";
    do_rope(dqkv, rule.rope, shape, true);
  }
  if (!multiprocessors_ || cudnn) return;
  auto whole = [](int64_t n, int64_t of) { return static_cast<double>((n + of - 1) / of * of); };
  const double rows = static_cast<double>(shape.batch) * static_cast<double>(shape.heads),
               delta = static_cast<double>(shape.seq),
               dq = whole(shape.seq, attention_tile_queries) * whole(shape.head_dim, 32),
               copies = static_cast<double>(owners);
  use_scratch(sizeof(float) * rows * (copies * dq + delta));
}

void DryBackend::count_attention(Bound bound, const AttentionShape& shape, DType dtype, int products, int executed) {
  const Scores one(shape);
  count_products(OpFamily::attention, products * one.full, products * one.causal);
  if (bound == Bound::attention_backward) work_[static_cast<size_t>(OpFamily::attention)].recomputed += one.causal;
  count_exponentials(OpFamily::attention, one.causal / static_cast<double>(2 * shape.head_dim));
  const bool tensor_cores = on_tensor_cores(shape, dtype);
  kernels_.back().bound = tensor_cores ? bound : Bound::plain_attention;
  kernels_.back().flops = executed * (tensor_cores ? one.in_blocks : one.causal);
}

// Counts an upper bound on the workspace of cuDNN 9.19 for the GPUs of tests/gpu/cudnn_plans.cpp. cuDNN's deterministic
// backward stores one bf16 score for each query and key, in tiles. With grouped-query attention it also stores the key
// and value gradients of each query head in bf16, before it adds them up. On compute capability 10.0 it stores no
// scores, and it stores the key and value gradients in fp32. The frontend of cuDNN stores one fp32 sum for each query
// and head.
void DryBackend::plan_attention(const AttentionShape& s, DType) {
  if (attention_ != AttentionKernels::cudnn) return;
  // Doubles represent exactly all sizes that fit in memory. Larger sizes do not overflow.
  auto whole = [](double n, double of) { return std::ceil(n / of) * of; };
  const double rows = static_cast<double>(s.batch) * static_cast<double>(s.heads), seq = static_cast<double>(s.seq),
               scores = 2 * rows * whole(seq, 128) * whole(seq, 64),
               key_values = s.kv_heads < s.heads ? 2 * whole(2 * rows * seq * static_cast<double>(s.head_dim), 128) : 0,
               bytes = std::max(scores, key_values) + key_values + 4 * rows * seq + 256;
  allocate(bytes < 0x1p63 ? static_cast<size_t>(bytes) : SIZE_MAX, Category::workspace);
}

void DryBackend::count_activation(Activation kind, Tensors reads, Tensor to, int64_t values) {
  count(OpFamily::activation, reads, {to});
  if (kind != Activation::relu_squared) count_exponentials(OpFamily::activation, static_cast<double>(values));
}

void DryBackend::do_gated_forward(Activation kind, Tensor out, Tensor gate_up) {
  count_activation(kind, {gate_up}, out, out.numel());
}

void DryBackend::do_gated_backward(Activation kind, Tensor d_gate_up, Tensor dout, Tensor gate_up) {
  count_activation(kind, {dout, gate_up}, d_gate_up, dout.numel());
}

void DryBackend::do_activation_forward(Activation kind, Tensor out, Tensor in) {
  count_activation(kind, {in}, out, out.numel());
}

void DryBackend::do_activation_backward(Activation kind, Tensor din, Tensor dout, Tensor in) {
  count_activation(kind, {dout, in}, din, din.numel());
}

void DryBackend::do_cross_entropy(Tensor losses, Tensor logits, Tensor targets, const LossRule& rule, float,
                                  bool gradient) {
  count(OpFamily::loss, {logits, targets}, {losses, gradient ? logits : Tensor()});
  count_exponentials(OpFamily::loss, static_cast<double>(logits.rows()) * static_cast<double>(rule.vocabulary));
}

}  // namespace rowan
