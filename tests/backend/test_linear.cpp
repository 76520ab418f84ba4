// Tests linear layers, linear layers fused with GELU, and matrix products in every orientation. The tests compare
// results in fp32 and bf16 with float64.
#include <cmath>

#include "suite.h"

namespace rowan::test {
namespace {

// op(a)[m, k] op(b)[k, n].
Doubles product(const Doubles& a, bool transpose_a, const Doubles& b, bool transpose_b, int64_t m, int64_t n,
                int64_t k) {
  Doubles c(static_cast<size_t>(m * n));
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t x = 0; x < k; ++x)
        c[i * n + j] += a[transpose_a ? x * m + i : i * k + x] * b[transpose_b ? j * k + x : x * n + j];
  return c;
}

struct Size {
  int64_t n, o, i;
};
const Size sizes[] = {{1, 1, 1}, {3, 1, 5}, {1, 17, 16}, {5, 33, 15}, {64, 48, 32}, {37, 67, 129}};
// Sizes that may select other kernels: many rows, many columns, and rows of 2048 bytes (in fp32).
const Size tall_sizes[] = {{520, 9, 7}, {130, 8, 512}, {3, 530, 9}, {3, 5461, 7}, {2, 50257, 5}, {3, 6, 5461}};

class Linear : public Ops {};

TEST_P(Linear, Forward) {
  for (auto [n, o, i] : sizes)
    for (bool biased : {false, true}) {
      Buffer in(dtype(), {n, i}, 1), weight(dtype(), {o, i}, 2), bias(dtype(), {o}, 3), out(dtype(), {n, o}, 4);
      backend().linear_forward(out, in, weight, biased ? bias.tensor() : Tensor());
      Doubles want = product(in.given(), false, weight.given(), true, n, o, i);
      for (size_t x = 0; biased && x < want.size(); ++x) want[x] += bias.given()[x % o];
      expect_close(out.read(), want, dtype(), "out");
    }
}

TEST_P(Linear, BackwardInput) {
  for (auto [n, o, i] : sizes)
    for (bool accumulate : {false, true}) {
      Buffer dout(dtype(), {n, o}, 1), weight(dtype(), {o, i}, 2), din(dtype(), {n, i}, 3);
      backend().linear_backward_input(din, dout, weight, accumulate);
      Doubles want = product(dout.given(), false, weight.given(), false, n, i, o);
      expect_close(din.read(), accumulate ? plus(want, din.given()) : want, dtype(), "din");
    }
}

TEST_P(Linear, BackwardWeight) {
  for (auto [n, o, i] : sizes)
    for (bool accumulate : {false, true})
      for (bool biased : {false, true})
        for (DType gradient : {DType::f32, DType::bf16}) {
          Buffer dout(dtype(), {n, o}, 1), in(dtype(), {n, i}, 2), d_weight(gradient, {o, i}, 3),
              d_bias(gradient, {o}, 4);
          backend().linear_backward_weight(d_weight, biased ? d_bias.tensor() : Tensor(), dout, in, accumulate);
          Doubles want = product(dout.given(), true, in.given(), false, o, i, n);
          expect_close(d_weight.read(), accumulate ? plus(want, d_weight.given()) : want, gradient, "d_weight");
          Doubles sums = accumulate || !biased ? d_bias.given() : Doubles(static_cast<size_t>(o));
          for (size_t x = 0; biased && x < dout.given().size(); ++x) sums[x % o] += dout.given()[x];
          expect_close(d_bias.read(), sums, gradient, "d_bias");
        }
}

// Products of bf16 operands are added to an fp32 gradient without rounding to bf16, so a small product is not lost.
TEST(LinearGradients, OfBf16OperandsKeepFp32) {
  Buffer dout(DType::bf16, {1, 1}, Doubles{1.0}), in(DType::bf16, {1, 2}, Doubles{1.0, 0.0009765625});
  Buffer d_weight(DType::f32, {1, 2}, Doubles{1000.0, 1000.0});
  backend().linear_backward_weight(d_weight, Tensor(), dout, in, true);
  EXPECT_EQ(d_weight.read(), (Doubles{1001.0, 1000.0009765625}));
}

TEST_P(Linear, NothingIsReadFromWhatIsOverwritten) {
  Buffer in(dtype(), {3, 20}, 1), weight(dtype(), {9, 20}, 2), out(dtype(), {3, 9}, Doubles(27, std::nan("")));
  backend().linear_forward(out, in, weight, Tensor());
  expect_close(out.read(), product(in.given(), false, weight.given(), true, 3, 9, 20), dtype(), "out");
  Buffer d_weight(dtype(), {9, 20}, Doubles(180, std::nan(""))), d_bias(dtype(), {9}, Doubles(9, std::nan("")));
  Buffer dout(dtype(), {3, 9}, 3);
  backend().linear_backward_weight(d_weight, d_bias, dout, in, false);
  expect_close(d_weight.read(), product(dout.given(), true, in.given(), false, 9, 20, 3), dtype(), "d_weight");
  Doubles sums(9);
  for (size_t x = 0; x < 27; ++x) sums[x % 9] += dout.given()[x];
  expect_close(d_bias.read(), sums, dtype(), "d_bias");
}

TEST_P(Linear, MatmulInEveryOrientation) {
  for (int64_t batch : {0, 3})  // 0: without a batch dimension
    for (auto [m, n, k] : sizes)
      for (int transposes = 0; transposes < 4; ++transposes)
        for (auto [alpha, beta] : {std::pair<float, float>{1, 0}, {-1.5f, 0.25f}}) {
          bool ta = transposes & 1, tb = transposes & 2;
          int64_t count = std::max<int64_t>(1, batch);
          Doubles a = random_values(count * m * k, 1), b = random_values(count * k * n, 2),
                  c = random_values(count * m * n, 3);
          int64_t a_rows = ta ? k : m, a_cols = ta ? m : k, b_rows = tb ? n : k, b_cols = tb ? k : n;
          Buffer left(dtype(), {count * a_rows, a_cols}, a), right(dtype(), {count * b_rows, b_cols}, b);
          Buffer result(dtype(), {count * m, n}, c);
          if (batch == 0)
            backend().matmul(result, {left, ta}, {right, tb}, alpha, beta);
          else
            backend().matmul(result.tensor().view({batch, m, n}), {left.tensor().view({batch, a_rows, a_cols}), ta},
                             {right.tensor().view({batch, b_rows, b_cols}), tb}, alpha, beta);
          Doubles want;
          for (int64_t x = 0; x < count; ++x) {
            auto part = [&](const Doubles& all, int64_t size) {
              return Doubles(all.begin() + x * size, all.begin() + (x + 1) * size);
            };
            Doubles one = product(part(left.given(), m * k), ta, part(right.given(), k * n), tb, m, n, k);
            want.insert(want.end(), one.begin(), one.end());
          }
          for (size_t x = 0; x < want.size(); ++x)
            want[x] = static_cast<double>(alpha) * want[x] + static_cast<double>(beta) * result.given()[x];
          expect_close(result.read(), want, dtype(), "c");
        }
}

TEST_P(Linear, MatmulAddLeavesItsSource) {
  for (int64_t batch : {1, 3})
    for (auto [m, n, k] : sizes) {
      Buffer a(dtype(), {batch, m, k}, 1), b(dtype(), {batch, n, k}, 2), source(dtype(), {batch, m, n}, 3),
          c(dtype(), {batch, m, n}, Doubles(static_cast<size_t>(batch * m * n), std::nan("")));
      backend().matmul_add(c, source, {a}, {b, true}, -1.5f, 0.25f);
      Doubles want = source.given();
      for (size_t x = 0; x < want.size(); ++x) {
        const double *row = &a.given()[x / n * k], *column = &b.given()[(x / (m * n) * n + x % n) * k];
        want[x] *= 0.25;
        for (int64_t i = 0; i < k; ++i) want[x] -= 1.5 * row[i] * column[i];
      }
      expect_close(c.read(), want, dtype(), "c");
      EXPECT_EQ(source.read(), source.given());
    }
}

double gelu(Activation kind, double x) {
  if (kind == Activation::gelu_erf) return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
}

TEST_P(Linear, GeluForward) {
  for (auto [n, o, i] : sizes)
    for (Activation kind : {Activation::gelu_tanh, Activation::gelu_erf})
      for (bool biased : {false, true}) {
        Buffer in(dtype(), {n, i}, 1), weight(dtype(), {o, i}, 2, 0.3), bias(dtype(), {o}, 3), out(dtype(), {n, o}, 4),
            pre(dtype(), {n, o}, 5);
        backend().linear_activation_forward(kind, out, pre, in, weight, biased ? bias.tensor() : Tensor());
        Doubles want = product(in.given(), false, weight.given(), true, n, o, i);
        for (size_t x = 0; biased && x < want.size(); ++x) want[x] += bias.given()[x % o];
        expect_close(pre.read(), want, dtype(), "pre");
        for (double& x : want) x = gelu(kind, x);
        expect_close(out.read(), want, dtype(), "out");
      }
}

TEST_P(Linear, GeluBackward) {
  for (auto [n, o, i] : sizes)
    for (Activation kind : {Activation::gelu_tanh, Activation::gelu_erf}) {
      Buffer dout(dtype(), {n, o}, 1), weight(dtype(), {o, i}, 2, 0.3), pre(dtype(), {n, i}, 3),
          d_pre(dtype(), {n, i}, 4);
      backend().linear_activation_backward(kind, d_pre, dout, weight, pre);
      Doubles want = product(dout.given(), false, weight.given(), false, n, i, o);
      for (size_t x = 0; x < want.size(); ++x) {
        const double at = pre.given()[x], h = 1e-5;
        want[x] *= (gelu(kind, at + h) - gelu(kind, at - h)) / (2 * h);
      }
      expect_close(d_pre.read(), want, dtype(), "d_pre");
    }
}

TEST_P(Linear, TallProducts) {
  for (auto [n, o, i] : tall_sizes) {
    Buffer in(dtype(), {n, i}, 1), dout(dtype(), {n, o}, 2), weight(dtype(), {o, i}, 3),
        d_weight(DType::f32, {o, i}, 4);
    Buffer out(dtype(), {n, o}), din(dtype(), {n, i}, 5);
    backend().linear_forward(out, in, weight, Tensor());
    backend().linear_backward_input(din, dout, weight, true);
    backend().linear_backward_weight(d_weight, Tensor(), dout, in, true);
    expect_close(out.read(), product(in.given(), false, weight.given(), true, n, o, i), dtype(), "out");
    Doubles d_in = product(dout.given(), false, weight.given(), false, n, i, o);
    expect_close(din.read(), plus(d_in, din.given()), dtype(), "din");
    Doubles d_w = product(dout.given(), true, in.given(), false, o, i, n);
    expect_close(d_weight.read(), plus(d_w, d_weight.given()), DType::f32, "d_weight");
  }
}

TEST(LinearSizes, RealSizes) {
  constexpr int64_t rows = 3000, o = 768, i = 8;
  Buffer dout(DType::bf16, {rows, o}, 1), in(DType::bf16, {rows, i}, 2), d_weight(DType::f32, {o, i}, 3);
  Buffer d_bias(DType::f32, {o}, 4);
  backend().linear_backward_weight(d_weight, d_bias, dout, in, true);
  expect_close(d_weight.read(), plus(product(dout.given(), true, in.given(), false, o, i, rows), d_weight.given()),
               DType::f32, "d_weight");
  Doubles d_b = d_bias.given();
  for (size_t x = 0; x < dout.given().size(); ++x) d_b[x % o] += dout.given()[x];
  expect_close(d_bias.read(), d_b, DType::f32, "d_bias");
}

ROWAN_OVER_DTYPES(Linear);

}  // namespace
}  // namespace rowan::test
