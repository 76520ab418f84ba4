#include "kernels/operation.h"

#include <algorithm>

namespace rowan {
namespace {

void add_word(std::string& text, const std::string& word) { text += (text.empty() ? "" : " ") + word; }

}  // namespace

const char* name_of(Along along) { return along == Along::row ? "row" : along == Along::column ? "column" : "matrix"; }

void Backend::Operation::columns(const Tensor& x, int64_t begin, int64_t end, float limit) const {
  if (begin < 0 || end < begin || end > x.cols())
    fail("{}: columns [{}, {}) of x, which is {}", name_, begin, end, x.describe());
  if (!(limit > 0)) fail("{}: limit is {}, must be positive", name_, limit);
}

void Backend::Operation::linear(const char* result, const Tensor& out, const Tensor& in, const Tensor& weight,
                                const Tensor& bias) const {
  compute("in", in);
  rank("in", in, 2);
  rank("weight", weight, 2);
  is("weight", weight, in.dtype, {weight.dim(0), in.dim(1)});
  is(result, out, in.dtype, {in.dim(0), weight.dim(0)});
  optional("bias", bias, in.dtype, {weight.dim(0)});
}

void Backend::Operation::linear_input(const char* result, const Tensor& din, const Tensor& dout,
                                      const Tensor& weight) const {
  compute("dout", dout);
  rank("dout", dout, 2);
  rank("weight", weight, 2);
  is("weight", weight, dout.dtype, {dout.dim(1), weight.dim(1)});
  is(result, din, dout.dtype, {dout.dim(0), weight.dim(1)});
}

void Backend::Operation::product(const Tensor& c, const Tensor& a, bool transpose_a, const Tensor& b,
                                 bool transpose_b) const {
  compute("c", c);
  if (c.rank != 2 && c.rank != 3) fail("{}: c is {}, must have 2 or 3 dimensions", name_, c.describe());
  const int last = c.rank - 1;
  present("a", a);
  rank("a", a, c.rank);
  const int64_t m = c.dim(last - 1), n = c.dim(last), k = a.dim(transpose_a ? last - 1 : last);
  Tensor want_a = c, want_b = c;
  want_a.shape[last - 1] = transpose_a ? k : m;
  want_a.shape[last] = transpose_a ? m : k;
  want_b.shape[last - 1] = transpose_b ? n : k;
  want_b.shape[last] = transpose_b ? k : n;
  same("a", a, want_a);
  same("b", b, want_b);
}

void Backend::Operation::attention(const AttentionShape& s) const {
  positive("batch", s.batch);
  positive("seq", s.seq);
  positive("heads", s.heads);
  positive("kv_heads", s.kv_heads);
  positive("head_dim", s.head_dim);
  if (s.heads % s.kv_heads != 0)
    fail("{}: heads is {}, must be a multiple of kv_heads, {}", name_, s.heads, s.kv_heads);
}

void Backend::Operation::token_ids(const Tensor& ids, int64_t vocabulary, bool ignore) const {
  if (!backend_.host_memory()) return;
  const int32_t* values = ids.as<int32_t>();
  for (int64_t n = 0; n < ids.numel(); ++n)
    if ((values[n] < 0 || values[n] >= vocabulary) && !(ignore && values[n] == -100))
      fail("{}: token id {} at {} is outside the vocabulary [0, {}){}", name_, values[n], n, vocabulary,
           ignore ? " and is not -100" : "");
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

void Backend::Operation::tell(std::string& operands, bool flag) { add_word(operands, flag ? "true" : "false"); }
void Backend::Operation::tell(std::string& operands, float factor) { add_word(operands, factor == 0 ? "0" : "*"); }

}  // namespace rowan
