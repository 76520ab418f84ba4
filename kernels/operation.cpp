#include "kernels/operation.h"

#include <algorithm>

namespace rowan {
namespace {

void add_word(std::string& text, const std::string& word) { text += (text.empty() ? "" : " ") + word; }

}  // namespace

void Backend::Operation::columns(const Tensor& x, int64_t begin, int64_t end, float limit) const {
  if (begin < 0 || end < begin || end > x.cols())
    fail("{}: columns: found [{}, {}), expected a range of columns of x, {}", name_, begin, end, x.describe());
  if (!(limit > 0)) fail("{}: limit: found {}, expected more than 0", name_, limit);
}

void Backend::Operation::linear(const char* result, const Tensor& out, const Tensor& in, const Tensor& weight,
                                const Tensor& bias) const {
  times_weight("in", in, weight, 1);
  is(result, out, in.dtype, {in.dim(0), weight.dim(0)});
  optional("bias", bias, in.dtype, {weight.dim(0)});
}

void Backend::Operation::linear_input(const char* result, const Tensor& din, const Tensor& dout,
                                      const Tensor& weight) const {
  times_weight("dout", dout, weight, 0);
  is(result, din, dout.dtype, {dout.dim(0), weight.dim(1)});
}

void Backend::Operation::times_weight(const char* argument, const Tensor& x, const Tensor& weight, int axis) const {
  compute(argument, x);
  rank(argument, x, 2);
  rank("weight", weight, 2);
  Tensor wanted = weight;
  wanted.dtype = x.dtype;
  wanted.shape[axis] = x.dim(1);
  same("weight", weight, wanted);
}

void Backend::Operation::norm(Norm kind, const char* argument, const Tensor& r, const char* result, const Tensor& out,
                              const Tensor& weight, const Tensor& mean, const Tensor& rstd) const {
  compute(argument, r);
  rank(argument, r, 2);
  compute("weight", weight);
  compute(result, out);
  stream(r, result, out, weight);
  is(result, out, out.dtype, {r.dim(0), r.dim(1)});
  is("weight", weight, weight.dtype, {r.dim(1)});
  statistics(kind, mean, rstd, r.dim(0));
}

void Backend::Operation::product(const Tensor& c, const Operand& a, const Operand& b, Result result) const {
  compute("c", c);
  if (c.rank != 2 && c.rank != 3) fail("{}: c: found {}, expected 2 or 3 dimensions", name_, c.describe());
  const int last = c.rank - 1;
  if (result == Result::symmetric && c.dim(last - 1) != c.dim(last))
    fail("{}: c: found {}, expected square matrices, because the result is symmetric", name_, c.describe());
  present("a", a.x);
  rank("a", a.x, c.rank);
  const int64_t k = a.cols();
  auto wanted = [&](int64_t rows, int64_t cols, bool transposed) {
    Tensor x = c;
    x.shape[last - 1] = transposed ? cols : rows;
    x.shape[last] = transposed ? rows : cols;
    return x;
  };
  same("a", a.x, wanted(c.dim(last - 1), k, a.transposed));
  same("b", b.x, wanted(k, c.dim(last), b.transposed));
}

void Backend::Operation::statistics(Norm kind, const Tensor& mean, const Tensor& rstd, int64_t n) const {
  is("rstd", rstd, DType::f32, {n});
  if (kind == Norm::layer)
    is("mean", mean, DType::f32, {n});
  else
    absent("mean", mean, "for rms");
}

void Backend::Operation::stream(const Tensor& residual, const char* result, const Tensor& out,
                                const Tensor& weight) const {
  if (residual.dtype != weight.dtype && residual.dtype != DType::f32)
    fail("{}: residual stream: found {}, expected fp32{}", name_, residual.describe(),
         weight.dtype == DType::bf16 ? " or bf16 like the weight" : " like the weight");
  if (out.dtype != weight.dtype && out.dtype != residual.dtype)
    fail("{}: {}: found {}, expected the dtype of the weight, {}, or of the residual stream, {}", name_, result,
         out.describe(), rowan::name_of(weight.dtype), rowan::name_of(residual.dtype));
}

void Backend::Operation::rows_of(const char* argument, const Tensor& x, int64_t seq) const {
  positive("seq", seq);
  if (x.dim(0) % seq != 0)
    fail("{}: {}: found {}, expected whole rows of {} tokens", name_, argument, x.describe(), seq);
}

void Backend::Operation::dropout(const Dropout& rule, int64_t batch) const {
  if (!(rule.rate >= 0 && rule.rate < 1)) fail("{}: rate: found {}, expected at least 0 and below 1", name_, rule.rate);
  if (rule.rate > 0) is("samples", rule.samples, DType::i32, {batch, 2});
}

void Backend::Operation::attention(const AttentionShape& s, const AttentionRule& rule) const {
  positive("batch", s.batch);
  positive("seq", s.seq);
  positive("heads", s.heads);
  positive("kv_heads", s.kv_heads);
  positive("head_dim", s.head_dim);
  if (s.heads % s.kv_heads != 0)
    fail("{}: heads: found {}, expected a multiple of kv_heads, {}", name_, s.heads, s.kv_heads);
  optional("documents", rule.documents, DType::i32, {3, s.tokens()});
  optional("rope", rule.rope, DType::f32, {s.seq, s.head_dim});
  if (!rule.rope.empty()) even_heads(s);
  dropout(rule.dropout, s.batch);
}

void Backend::Operation::even_heads(const AttentionShape& s) const {
  if (s.head_dim % 2 != 0) fail("{}: head_dim: found {}, expected an even number", name_, s.head_dim);
}

void Backend::Operation::token_ids(const char* what, const Tensor& ids, int64_t vocabulary, bool ignore) const {
  if (!backend_.host_memory()) return;
  const int32_t* values = ids.as<int32_t>();
  for (int64_t n = 0; n < ids.numel(); ++n)
    if ((values[n] < 0 || values[n] >= vocabulary) && !(ignore && values[n] == -100))
      fail("{}: {} {}: found id {}, expected 0 to {}{}", name_, what, n, values[n], vocabulary - 1,
           ignore ? " or -100" : "");
}

void Backend::Operation::tell(std::string& operands, const Tensor& x) {
  add_word(operands, x.empty() ? "-" : x.describe());
}

void Backend::Operation::tell(std::string& operands, const std::vector<Tensor>& xs) {
  for (const Tensor& x : xs) tell(operands, x);
}

void Backend::Operation::tell(std::string& operands, const Slots& slots) {
  for (Tensor OptimizerSlot::*part : {&OptimizerSlot::weight, &OptimizerSlot::master, &OptimizerSlot::gradient,
                                      &OptimizerSlot::first, &OptimizerSlot::second}) {
    Tensor all = slots.empty() ? Tensor() : slots[0].*part;
    all.rank = 1;
    std::fill(all.shape, all.shape + Tensor::max_rank, 1);
    all.shape[0] = 0;
    for (const OptimizerSlot& slot : slots) all.shape[0] += (slot.*part).numel();
    tell(operands, all);
  }
}

void Backend::Operation::tell(std::string& operands, const NormForward& norm) {
  tell(operands, std::vector<Tensor>{norm.out, norm.sum, norm.mean, norm.rstd, norm.residual, norm.branch, norm.weight,
                                     norm.bias});
}

void Backend::Operation::tell(std::string& operands, const NormBackward& norm) {
  tell(operands, std::vector<Tensor>{norm.d_residual, norm.d_weight, norm.d_bias, norm.dout, norm.r, norm.weight,
                                     norm.mean, norm.rstd});
  tell(operands, norm.accumulate);
}

void Backend::Operation::tell(std::string& operands, bool flag) { add_word(operands, flag ? "true" : "false"); }
void Backend::Operation::tell(std::string& operands, float factor) { add_word(operands, factor == 0 ? "0" : "*"); }

}  // namespace rowan
