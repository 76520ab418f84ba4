#include "kernels/check.h"

#include <initializer_list>
#include <string>

#include "base/error.h"

namespace rowan::check {
namespace {

// One operation's checks: what an argument is against what it must be.
class Op {
 public:
  explicit Op(const char* name) : name_(name) {}

  void present(const char* argument, const Tensor& x) const {
    if (x.empty()) fail("{}: {} is missing", name_, argument);
  }
  void compute(const char* argument, const Tensor& x) const {
    present(argument, x);
    if (x.dtype == DType::i32) fail("{}: {} is {}, must be f32 or bf16", name_, argument, x.describe());
  }
  void rank(const char* argument, const Tensor& x, int rank) const {
    if (x.rank != rank) fail("{}: {} is {}, must have {} dimension(s)", name_, argument, x.describe(), rank);
  }
  void is(const char* argument, const Tensor& x, DType dtype, std::initializer_list<int64_t> shape) const {
    present(argument, x);
    Tensor wanted(x.data, dtype, shape);
    if (x.dtype != dtype || !x.same_shape(wanted))
      fail("{}: {} is {}, must be {}", name_, argument, x.describe(), wanted.describe());
  }
  void optional(const char* argument, const Tensor& x, DType dtype, std::initializer_list<int64_t> shape) const {
    if (!x.empty()) is(argument, x, dtype, shape);
  }
  // A gradient that accumulates: f32 or bf16 whatever the dtype of the activations.
  void gradient(const char* argument, const Tensor& x, std::initializer_list<int64_t> shape) const {
    compute(argument, x);
    is(argument, x, x.dtype, shape);
  }
  void same(const char* argument, const Tensor& x, const Tensor& wanted) const {
    present(argument, x);
    if (x.dtype != wanted.dtype || !x.same_shape(wanted))
      fail("{}: {} is {}, must be {}", name_, argument, x.describe(), wanted.describe());
  }
  void absent(const char* argument, const Tensor& x, const char* when) const {
    if (!x.empty()) fail("{}: {} is {}, must be absent {}", name_, argument, x.describe(), when);
  }
  void positive(const char* argument, int64_t value) const {
    if (value <= 0) fail("{}: {} is {}, must be positive", name_, argument, value);
  }
  void columns(const Tensor& x, int64_t begin, int64_t end, float limit) const {
    if (begin < 0 || end < begin || end > x.cols())
      fail("{}: columns [{}, {}) of x, which is {}", name_, begin, end, x.describe());
    if (!(limit > 0)) fail("{}: limit is {}, must be positive", name_, limit);
  }
  void attention(const AttentionShape& s) const {
    positive("batch", s.batch);
    positive("seq", s.seq);
    positive("heads", s.heads);
    positive("kv_heads", s.kv_heads);
    positive("head_dim", s.head_dim);
    if (s.heads % s.kv_heads != 0)
      fail("{}: heads is {}, must be a multiple of kv_heads, {}", name_, s.heads, s.kv_heads);
  }

 private:
  const char* name_;
};

}  // namespace

void upload(Tensor to) { Op("upload").present("to", to); }
void download(Tensor from) { Op("download").present("from", from); }

void copy(Tensor to, Tensor from) {
  Op op("copy");
  op.present("to", to);
  op.present("from", from);
  if (to.numel() != from.numel())
    fail("copy: to is {}, must have the {} elements of from, {}", to.describe(), from.numel(), from.describe());
  if (to.dtype != from.dtype && (to.dtype == DType::i32 || from.dtype == DType::i32))
    fail("copy: to is {}, which from, {}, does not convert to", to.describe(), from.describe());
}

void zero(Tensor x) { Op("zero").present("x", x); }

void scale(Tensor x) { Op("scale").compute("x", x); }

void add(Tensor y, Tensor x) {
  Op op("add");
  op.compute("y", y);
  op.compute("x", x);
  if (!x.same_shape(y)) fail("add: x is {}, must have the shape of y, {}", x.describe(), y.describe());
}

void clamp_forward(Tensor x, int64_t begin, int64_t end, float limit) {
  Op op("clamp_forward");
  op.compute("x", x);
  op.rank("x", x, 2);
  op.columns(x, begin, end, limit);
}

void clamp_backward(Tensor dx, Tensor x, int64_t begin, int64_t end, float limit) {
  Op op("clamp_backward");
  op.compute("x", x);
  op.rank("x", x, 2);
  op.same("dx", dx, x);
  op.columns(x, begin, end, limit);
}

void sum(Tensor out, Tensor x) {
  Op op("sum");
  op.is("out", out, DType::f32, {1});
  op.present("x", x);
  if (x.dtype != DType::f32) fail("sum: x is {}, must be f32", x.describe());
}

void sum_squares(Tensor out, const std::vector<Tensor>& xs) {
  Op op("sum_squares");
  op.is("out", out, DType::f32, {1});
  for (const Tensor& x : xs) op.compute("xs", x);
}

void embedding_forward(Tensor out, Tensor tokens, Tensor table, Tensor positions, int64_t seq) {
  Op op("embedding_forward");
  op.compute("table", table);
  op.rank("table", table, 2);
  op.rank("tokens", tokens, 1);
  op.is("tokens", tokens, DType::i32, {tokens.dim(0)});
  op.is("out", out, table.dtype, {tokens.dim(0), table.dim(1)});
  op.positive("seq", seq);
  if (positions.empty()) return;
  op.is("positions", positions, table.dtype, {positions.dim(0), table.dim(1)});
  if (positions.dim(0) < seq)
    fail("embedding_forward: positions is {}, must have at least {} rows (seq)", positions.describe(), seq);
}

void embedding_backward(Tensor d_table, Tensor d_positions, Tensor dout, Tensor tokens, int64_t seq) {
  Op op("embedding_backward");
  op.compute("d_table", d_table);
  op.rank("d_table", d_table, 2);
  op.rank("tokens", tokens, 1);
  op.is("tokens", tokens, DType::i32, {tokens.dim(0)});
  op.gradient("dout", dout, {tokens.dim(0), d_table.dim(1)});
  op.positive("seq", seq);
  if (d_positions.empty()) return;
  op.gradient("d_positions", d_positions, {d_positions.dim(0), d_table.dim(1)});
  if (d_positions.dim(0) < seq)
    fail("embedding_backward: d_positions is {}, must have at least {} rows (seq)", d_positions.describe(), seq);
}

void norm_forward(Norm kind, Tensor out, Tensor sum, Tensor mean, Tensor rstd, Tensor residual, Tensor branch,
                  Tensor weight, Tensor bias) {
  Op op("norm_forward");
  op.compute("residual", residual);
  op.rank("residual", residual, 2);
  int64_t n = residual.dim(0), c = residual.dim(1);
  op.same("out", out, residual);
  op.optional("branch", branch, residual.dtype, {n, c});
  if (branch.empty())
    op.absent("sum", sum, "without a branch");
  else
    op.same("sum", sum, residual);
  op.is("weight", weight, residual.dtype, {c});
  op.optional("bias", bias, residual.dtype, {c});
  op.is("rstd", rstd, DType::f32, {n});
  if (kind == Norm::layer)
    op.is("mean", mean, DType::f32, {n});
  else
    op.absent("mean", mean, "for rms");
}

void norm_backward(Norm kind, Tensor d_residual, Tensor d_weight, Tensor d_bias, Tensor dout, Tensor r, Tensor weight,
                   Tensor mean, Tensor rstd) {
  Op op("norm_backward");
  op.compute("r", r);
  op.rank("r", r, 2);
  int64_t n = r.dim(0), c = r.dim(1);
  op.same("dout", dout, r);
  op.same("d_residual", d_residual, r);
  op.is("weight", weight, r.dtype, {c});
  op.gradient("d_weight", d_weight, {c});
  if (!d_bias.empty()) op.gradient("d_bias", d_bias, {c});
  op.is("rstd", rstd, DType::f32, {n});
  if (kind == Norm::layer)
    op.is("mean", mean, DType::f32, {n});
  else
    op.absent("mean", mean, "for rms");
}

void linear_forward(Tensor out, Tensor in, Tensor weight, Tensor bias) {
  Op op("linear_forward");
  op.compute("in", in);
  op.rank("in", in, 2);
  op.rank("weight", weight, 2);
  op.is("weight", weight, in.dtype, {weight.dim(0), in.dim(1)});
  op.is("out", out, in.dtype, {in.dim(0), weight.dim(0)});
  op.optional("bias", bias, in.dtype, {weight.dim(0)});
}

void linear_backward_input(Tensor din, Tensor dout, Tensor weight) {
  Op op("linear_backward_input");
  op.compute("dout", dout);
  op.rank("dout", dout, 2);
  op.rank("weight", weight, 2);
  op.is("weight", weight, dout.dtype, {dout.dim(1), weight.dim(1)});
  op.is("din", din, dout.dtype, {dout.dim(0), weight.dim(1)});
}

void linear_backward_weight(Tensor d_weight, Tensor d_bias, Tensor dout, Tensor in) {
  Op op("linear_backward_weight");
  op.compute("dout", dout);
  op.rank("dout", dout, 2);
  op.rank("in", in, 2);
  op.is("in", in, dout.dtype, {dout.dim(0), in.dim(1)});
  op.gradient("d_weight", d_weight, {dout.dim(1), in.dim(1)});
  if (!d_bias.empty()) op.gradient("d_bias", d_bias, {dout.dim(1)});
}

void matmul(Tensor c, Tensor a, bool transpose_a, Tensor b, bool transpose_b) {
  Op op("matmul");
  op.compute("c", c);
  if (c.rank != 2 && c.rank != 3) fail("matmul: c is {}, must have 2 or 3 dimensions", c.describe());
  int last = c.rank - 1;
  op.present("a", a);
  op.rank("a", a, c.rank);
  int64_t m = c.dim(last - 1), n = c.dim(last), k = a.dim(transpose_a ? last - 1 : last);
  Tensor want_a = c, want_b = c;
  want_a.shape[last - 1] = transpose_a ? k : m;
  want_a.shape[last] = transpose_a ? m : k;
  want_b.shape[last - 1] = transpose_b ? n : k;
  want_b.shape[last] = transpose_b ? k : n;
  op.same("a", a, want_a);
  op.same("b", b, want_b);
}

void rope(Tensor qkv, Tensor table, const AttentionShape& shape) {
  Op op("rope");
  op.attention(shape);
  if (shape.head_dim % 2 != 0) fail("rope: head_dim is {}, must be even", shape.head_dim);
  op.compute("qkv", qkv);
  op.is("qkv", qkv, qkv.dtype, {shape.tokens(), shape.qkv_width()});
  op.is("table", table, DType::f32, {shape.seq, shape.head_dim});
}

void attention_forward(Tensor out, Tensor log_sum_exp, Tensor qkv, const AttentionShape& shape) {
  Op op("attention_forward");
  op.attention(shape);
  op.compute("qkv", qkv);
  op.is("qkv", qkv, qkv.dtype, {shape.tokens(), shape.qkv_width()});
  op.is("out", out, qkv.dtype, {shape.tokens(), shape.out_width()});
  op.is("log_sum_exp", log_sum_exp, DType::f32, {shape.batch, shape.heads, shape.seq});
}

void attention_backward(Tensor dqkv, Tensor dout, Tensor out, Tensor log_sum_exp, Tensor qkv,
                        const AttentionShape& shape) {
  Op op("attention_backward");
  op.attention(shape);
  op.compute("qkv", qkv);
  op.is("qkv", qkv, qkv.dtype, {shape.tokens(), shape.qkv_width()});
  op.same("dqkv", dqkv, qkv);
  op.is("out", out, qkv.dtype, {shape.tokens(), shape.out_width()});
  op.same("dout", dout, out);
  op.is("log_sum_exp", log_sum_exp, DType::f32, {shape.batch, shape.heads, shape.seq});
}

void swiglu_forward(Tensor out, Tensor gate_up) {
  Op op("swiglu_forward");
  op.compute("out", out);
  op.rank("out", out, 2);
  op.is("gate_up", gate_up, out.dtype, {out.dim(0), 2 * out.dim(1)});
}

void swiglu_backward(Tensor d_gate_up, Tensor dout, Tensor gate_up) {
  Op op("swiglu_backward");
  op.compute("dout", dout);
  op.rank("dout", dout, 2);
  op.is("gate_up", gate_up, dout.dtype, {dout.dim(0), 2 * dout.dim(1)});
  op.same("d_gate_up", d_gate_up, gate_up);
}

void gelu_forward(Tensor out, Tensor in) {
  Op op("gelu_forward");
  op.compute("in", in);
  op.same("out", out, in);
}

void gelu_backward(Tensor din, Tensor dout, Tensor in) {
  Op op("gelu_backward");
  op.compute("in", in);
  op.same("dout", dout, in);
  op.same("din", din, in);
}

void cross_entropy(Tensor losses, Tensor logits, Tensor targets, int64_t vocabulary) {
  Op op("cross_entropy");
  op.compute("logits", logits);
  op.rank("logits", logits, 2);
  if (vocabulary < 1 || vocabulary > logits.dim(1))
    fail("cross_entropy: vocabulary is {}, must be 1 to {}, the width of logits", vocabulary, logits.dim(1));
  op.is("losses", losses, DType::f32, {logits.dim(0)});
  op.is("targets", targets, DType::i32, {logits.dim(0)});
}

void token_ids(const char* operation, const int32_t* ids, int64_t count, int64_t vocabulary, bool ignore) {
  for (int64_t n = 0; n < count; ++n)
    if ((ids[n] < 0 || ids[n] >= vocabulary) && !(ignore && ids[n] == -100))
      fail("{}: token id {} at {} is outside the vocabulary [0, {}){}", operation, ids[n], n, vocabulary,
           ignore ? " and is not -100" : "");
}

}  // namespace rowan::check
