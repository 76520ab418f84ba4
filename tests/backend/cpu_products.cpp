// Tests large matrix products of the CPU backend, which splits them into blocks. The tests compare a few rows of each
// product with float64.
#include <cmath>

#include "suite.h"

namespace rowan::test {
namespace {

Doubles waves(int64_t count, double frequency) {
  Doubles values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(frequency * static_cast<double>(i));
  return values;
}

// Row `row` of the product of a and b, whose inner dimension is k.
Doubles row_of(int64_t row, int64_t n, int64_t k, const std::function<double(int64_t, int64_t)>& a,
               const std::function<double(int64_t, int64_t)>& b) {
  Doubles result(static_cast<size_t>(n));
  for (int64_t x = 0; x < k; ++x)
    for (int64_t j = 0; j < n; ++j) result[j] += a(row, x) * b(x, j);
  return result;
}

Doubles row_at(const Doubles& all, int64_t row, int64_t n) {
  return Doubles(all.begin() + row * n, all.begin() + (row + 1) * n);
}

class LargeProducts : public Ops {};

TEST_P(LargeProducts, InputGradient) {
  constexpr int64_t n = 130, o = 4200, i = 2048;
  Buffer dout(dtype(), {n, o}, waves(n * o, 0.7)), weight(dtype(), {o, i}, waves(o * i, 0.3)), din(dtype(), {n, i});
  backend().linear_backward_input(din, dout, weight, false);
  Doubles got = din.read();
  for (int64_t row : {0, 77, 129}) {
    Doubles want = row_of(
        row, i, o, [&](int64_t r, int64_t x) { return dout.given()[r * o + x]; },
        [&](int64_t x, int64_t c) { return weight.given()[x * i + c]; });
    // Positive and negative terms cancel, so the sums are far smaller than the rounded terms.
    expect_close(row_at(got, row, i), want, dtype(), "din", dtype() == DType::f32 ? 2e-4 : 0);
  }
}

TEST_P(LargeProducts, Forward) {
  constexpr int64_t n = 130, o = 140000, i = 64;
  Buffer in(dtype(), {n, i}, waves(n * i, 0.7)), weight(dtype(), {o, i}, waves(o * i, 0.3)), out(dtype(), {n, o});
  Buffer bias(dtype(), {o}, waves(o, 0.9));
  backend().linear_forward(out, in, weight, bias);
  Doubles got = out.read();
  for (int64_t row : {0, 77, 129}) {
    Doubles want = row_of(
        row, o, i, [&](int64_t r, int64_t x) { return in.given()[r * i + x]; },
        [&](int64_t x, int64_t c) { return weight.given()[c * i + x]; });
    expect_close(row_at(got, row, o), plus(want, bias.given()), dtype(), "out");
  }
}

TEST_P(LargeProducts, Bf16WeightGradient) {
  constexpr int64_t n = 3, o = 3001, i = 3000;
  Buffer dout(dtype(), {n, o}, waves(n * o, 0.7)), in(dtype(), {n, i}, waves(n * i, 0.3));
  Buffer d_weight(DType::bf16, {o, i}, waves(o * i, 0.9));
  backend().linear_backward_weight(d_weight, Tensor(), dout, in, true);
  Doubles got = d_weight.read();
  for (int64_t row : {0, 1777, 3000}) {
    Doubles want = row_of(
        row, i, n, [&](int64_t r, int64_t x) { return dout.given()[x * o + r]; },
        [&](int64_t x, int64_t c) { return in.given()[x * i + c]; });
    expect_close(row_at(got, row, i), plus(want, row_at(d_weight.given(), row, i)), DType::bf16, "d_weight");
  }
}

ROWAN_OVER_DTYPES(LargeProducts);

}  // namespace
}  // namespace rowan::test
