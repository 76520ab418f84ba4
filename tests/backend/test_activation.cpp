// Tests activations and gated activations, forward and backward, against float64. A NaN must stay NaN.
#include <cmath>

#include "suite.h"

namespace rowan::test {
namespace {

constexpr double pi = 3.14159265358979323846;

constexpr Activation kinds[] = {Activation::silu, Activation::gelu_tanh, Activation::gelu_erf,
                                Activation::relu_squared};

double value_of(Activation kind, double x) {
  switch (kind) {
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::gelu_tanh:  // 1 + tanh(u) = 2 / (1 + e^-2u)
      return x / (1 + std::exp(-2 * std::sqrt(2 / pi) * (x + 0.044715 * x * x * x)));
    case Activation::gelu_erf:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::relu_squared:
      return x > 0 ? x * x : 0;
  }
  return std::nan("");
}

// out = value_of(gate) * up, for rows [gate | up].
Doubles gated(Activation kind, const Doubles& gate_up, int64_t width) {
  Doubles out(gate_up.size() / 2);
  for (int64_t i = 0; i < static_cast<int64_t>(out.size()); ++i) {
    const double* row = gate_up.data() + i / width * 2 * width + i % width;
    out[i] = value_of(kind, row[0]) * row[width];
  }
  return out;
}

// Random values. The last values are replaced by 0 and by small and large values.
Doubles wide_values(int64_t count, uint64_t seed) {
  Doubles values = random_values(count, seed, 2.0);
  const double ends[] = {0.0, -100.0, 100.0, -1e4, 1e4, -8.0, 8.0, -1e-3, 1e-6, -5.5, -12.0};
  for (size_t i = 0; i < std::size(ends) && i < values.size(); ++i) values[values.size() - 1 - i] = ends[i];
  return values;
}

// Compares each element with a tolerance relative to its own value. Also allows the fp32 rounding error of an
// intermediate result as large as `size`.
void expect_each(const Doubles& got, const Doubles& want, const Doubles& size, DType dtype) {
  double unit = dtype == DType::bf16 ? 4e-3 : 3e-6;
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want[i], unit * std::fabs(want[i]) + 3e-7 * std::fabs(size[i]) + 1e-30) << i;
}

class Activations : public Ops {};

TEST_P(Activations, Forward) {
  for (Activation kind : kinds)
    for (int64_t n : {1, 15, 16, 515}) {
      Buffer in(dtype(), {n}, wide_values(n, 1)), out(dtype(), {n});
      backend().activation_forward(kind, out, in);
      Doubles want = in.given();
      for (double& v : want) v = value_of(kind, v);
      expect_each(out.read(), want, want, dtype());
    }
}

TEST_P(Activations, Backward) {
  for (Activation kind : kinds)
    for (int64_t n : {1, 15, 16, 515}) {
      Buffer in(dtype(), {n}, wide_values(n, 1)), dout(dtype(), {n}, 2), din(dtype(), {n});
      backend().activation_backward(kind, din, dout, in);
      Doubles want(in.given().size());
      for (size_t i = 0; i < want.size(); ++i) {
        double x = in.given()[i], h = 1e-5 * std::max(1.0, std::fabs(x));
        want[i] = dout.given()[i] * (value_of(kind, x + h) - value_of(kind, x - h)) / (2 * h);
      }
      Doubles size = dout.given();
      // At 0, the central difference of max(x, 0)^2 has an error of h / 2. A larger `size` allows this error.
      if (kind == Activation::relu_squared)
        for (double& x : size) x *= 100;
      expect_each(din.read(), want, size, dtype());
    }
}

TEST_P(Activations, GatedForward) {
  for (Activation kind : kinds)
    for (int64_t width : {1, 15, 16, 67, 5461}) {
      Buffer gate_up(dtype(), {3, 2 * width}, wide_values(6 * width, 1)), out(dtype(), {3, width});
      backend().gated_forward(kind, out, gate_up);
      const Doubles want = gated(kind, gate_up.given(), width);
      expect_each(out.read(), want, want, dtype());
    }
}

TEST_P(Activations, GatedBackward) {
  for (Activation kind : kinds)
    for (int64_t width : {1, 15, 16, 67}) {
      Buffer gate_up(dtype(), {3, 2 * width}, 1, 3.0), dout(dtype(), {3, width}, 2), d_gate_up(dtype(), {3, 2 * width});
      backend().gated_backward(kind, d_gate_up, dout, gate_up);
      expect_close(
          d_gate_up.read(),
          numeric_gradient([&](const Doubles& x) { return gated(kind, x, width); }, gate_up.given(), dout.given()),
          dtype(), "d_gate_up");
    }
}

TEST_P(Activations, NanComesOut) {
  Buffer in(dtype(), {40}, Doubles(40, std::nan(""))), out(dtype(), {40}),
      pairs(dtype(), {20, 2}, Doubles(40, std::nan("")));
  Buffer half(dtype(), {20, 1});
  for (Activation kind : kinds) {
    backend().activation_forward(kind, out, in);
    for (double v : out.read()) EXPECT_TRUE(std::isnan(v));
    backend().activation_backward(kind, out, in, in);
    for (double v : out.read()) EXPECT_TRUE(std::isnan(v));
    backend().gated_forward(kind, half, pairs);
    for (double v : half.read()) EXPECT_TRUE(std::isnan(v));
  }
}

ROWAN_OVER_DTYPES(Activations);

}  // namespace
}  // namespace rowan::test
