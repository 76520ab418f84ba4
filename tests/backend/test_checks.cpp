// Compares whole error messages for wrong arguments. Each message names the operation and the argument.
#include "suite.h"

namespace rowan::test {
namespace {

void expect_error(const std::string& want, const std::function<void()>& fn) { EXPECT_EQ(error_of(fn), want); }

TEST(Checks, NameTheOperationAndTheArgument) {
  Backend& b = backend();
  Buffer x(DType::f32, {4, 6}), narrow(DType::bf16, {4, 6}), ids(DType::i32, {4}), vector(DType::f32, {6}),
      rows(DType::f32, {4});
  Buffer one(DType::f32, {1}), square(DType::f32, {6, 6});
  expect_error("add: x: found fp32[6], expected the shape of y, fp32[4, 6]", [&] { b.add(x, vector); });
  expect_error("lerp: y: found bf16[4, 6], expected fp32", [&] { b.lerp(narrow, x, 0.5f); });
  expect_error("lerp: x: found fp32[6], expected the shape of y, fp32[4, 6]", [&] { b.lerp(x, vector, 0.5f); });
  expect_error("scale: x: found i32[4], expected fp32 or bf16", [&] { b.scale(ids, 2.0f); });
  expect_error("copy: to: found fp32[6], expected 24 elements like 'from', bf16[4, 6]",
               [&] { b.copy(vector, narrow); });
  expect_error("copy: to: found i32[4], expected fp32 like 'from', because i32 is not converted",
               [&] { b.copy(ids, rows); });
  expect_error("sum: out: found fp32[4], expected fp32[1]", [&] { b.sum(rows, x, false); });
  expect_error("sum_squares: xs: found i32[4], expected fp32 or bf16", [&] { b.sum_squares(one, {x, ids}); });
  expect_error("clamp_forward: columns: found [2, 7), expected a range of columns of x, fp32[4, 6]",
               [&] { b.clamp_forward(x, 2, 7, 1.0f); });
  expect_error("clamp_backward: limit: found -1, expected more than 0", [&] { b.clamp_backward(x, x, 2, 6, -1.0f); });
  expect_error("embedding_forward: tokens: found fp32[4], expected i32[4]",
               [&] { b.embedding_forward(x, rows, square, Tensor(), 4); });
  expect_error("embedding_forward: positions: found fp32[4, 6], expected at least 5 rows (seq)",
               [&] { b.embedding_forward(x, ids, square, x, 5); });
  expect_error("embedding_backward: dout: found fp32[6, 6], expected fp32[4, 6]",
               [&] { b.embedding_backward(x, Tensor(), square, ids, 4); });
  expect_error("norm_forward: weight: found fp32[4], expected fp32[6]",
               [&] { b.norm_forward({.out = x, .rstd = rows, .residual = x, .weight = rows}); });
  expect_error("norm_forward: sum: found fp32[4, 6], expected none without a branch",
               [&] { b.norm_forward({.out = x, .sum = x, .rstd = rows, .residual = x, .weight = vector}); });
  expect_error("norm_backward: mean is missing", [&] {
    b.norm_backward({.kind = Norm::layer,
                     .d_residual = x,
                     .d_weight = vector,
                     .d_bias = vector,
                     .dout = x,
                     .r = x,
                     .weight = vector,
                     .rstd = rows});
  });
  expect_error("norm_forward: residual stream: found bf16[4, 6], expected fp32 like the weight",
               [&] { b.norm_forward({.out = x, .rstd = rows, .residual = narrow, .weight = vector}); });
  expect_error(
      "norm_backward: dout: found bf16[4, 6], expected the dtype of the weight, fp32, or of the residual stream, fp32",
      [&] {
        b.norm_backward({.d_residual = x, .d_weight = vector, .dout = narrow, .r = x, .weight = vector, .rstd = rows});
      });
  expect_error("linear_forward: weight: found bf16[4, 6], expected fp32[4, 6]",
               [&] { b.linear_forward(x, x, narrow, Tensor()); });
  expect_error("linear_backward_input: din: found fp32[4, 6], expected fp32[6, 6]",
               [&] { b.linear_backward_input(x, square, square, false); });
  expect_error("linear_backward_weight: d_weight: found fp32[4, 6], expected fp32[6, 6]",
               [&] { b.linear_backward_weight(x, Tensor(), x, x, true); });
  expect_error("matmul: b: found fp32[4, 6], expected fp32[6, 6]", [&] { b.matmul(x, {x}, {x}); });
  expect_error("matmul: c: found fp32[4, 6], expected square matrices, because the result is symmetric",
               [&] { b.matmul(x, {x}, {x}, 1, 0, Result::symmetric); });
}

TEST(Checks, OfAttentionActivationsAndLoss) {
  Backend& b = backend();
  Buffer qkv(DType::f32, {4, 12}), out(DType::f32, {4, 4}), sums(DType::f32, {2, 1, 2}), x(DType::f32, {4, 6});
  Buffer ids(DType::i32, {4}), losses(DType::f32, {4}), narrow(DType::bf16, {4, 6});
  expect_error("attention_forward: heads: found 3, expected a multiple of kv_heads, 2", [&] {
    b.attention_forward(out, sums, qkv, {2, 2, 3, 2, 2, 1});
  });
  expect_error("attention_forward: qkv: found fp32[4, 6], expected fp32[4, 12]", [&] {
    b.attention_forward(out, sums, x, {2, 2, 1, 1, 4, 1});
  });
  AttentionRule rotated;
  rotated.rope = losses;
  expect_error("attention_forward: rope: found fp32[4], expected fp32[2, 4]", [&] {
    b.attention_forward(out, losses, qkv, {2, 2, 1, 1, 4, 1}, rotated);
  });
  expect_error("attention_backward: log_sum_exp: found fp32[4], expected fp32[2, 1, 2]", [&] {
    b.attention_backward(qkv, out, out, losses, qkv, {2, 2, 1, 1, 4, 1});
  });
  expect_error("rope: head_dim: found 3, expected an even number", [&] { b.rope(qkv, x, {2, 2, 2, 1, 3, 1}, false); });
  expect_error("gated_forward: gate_up: found fp32[4, 6], expected fp32[4, 8]",
               [&] { b.gated_forward(Activation::silu, out, x); });
  expect_error("gated_backward: d_gate_up: found fp32[4, 12], expected fp32[4, 8]", [&] {
    Buffer pair(DType::f32, {4, 8});
    b.gated_backward(Activation::silu, qkv, out, pair);
  });
  expect_error("activation_forward: out: found bf16[4, 6], expected fp32[4, 6]",
               [&] { b.activation_forward(Activation::gelu_erf, narrow, x); });
  expect_error("activation_backward: dout is missing",
               [&] { b.activation_backward(Activation::gelu_erf, x, Tensor(), x); });
  expect_error("cross_entropy: losses: found fp32[4, 6], expected fp32[4]",
               [&] { b.cross_entropy(x, x, ids, {6}, 1, false); });
  expect_error("cross_entropy: vocabulary: found 7, expected 1 to 6, the width of logits",
               [&] { b.cross_entropy(losses, x, ids, {7}, 1, false); });
}

}  // namespace
}  // namespace rowan::test
