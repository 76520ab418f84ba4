#include <cmath>

#include "suite.h"

namespace rowan::test {
namespace {

constexpr double pi = 3.14159265358979323846;

double gelu(Gelu kind, double x) {
  if (kind == Gelu::erf) return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
  return x / (1 + std::exp(-2 * std::sqrt(2 / pi) * (x + 0.044715 * x * x * x)));  // 1 + tanh(u) = 2 / (1 + e^-2u)
}

double silu(double x) { return x / (1 + std::exp(-x)); }

// Random values and the far ends, where a careless formula overflows.
Doubles wide_values(int64_t count, uint64_t seed) {
  Doubles values = random_values(count, seed, 2.0);
  const double ends[] = {0.0, -100.0, 100.0, -1e4, 1e4, -8.0, 8.0, -1e-3, 1e-6, -5.5, -12.0};
  for (size_t i = 0; i < std::size(ends) && i < values.size(); ++i) values[values.size() - 1 - i] = ends[i];
  return values;
}

// Element by element: relative to each value, beside what rounding of the largest intermediate (1) may cost.
void expect_each(const Doubles& got, const Doubles& want, const Doubles& size, DType dtype) {
  double unit = dtype == DType::bf16 ? 4e-3 : 3e-6;
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want[i], unit * std::fabs(want[i]) + 3e-7 * std::fabs(size[i]) + 1e-30) << i;
}

class Activation : public Ops {};

TEST_P(Activation, GeluForward) {
  for (Gelu kind : {Gelu::tanh, Gelu::erf})
    for (int64_t n : {1, 15, 16, 515}) {
      Buffer in(dtype(), {n}, wide_values(n, 1)), out(dtype(), {n});
      backend().gelu_forward(kind, out, in);
      Doubles want = in.given();
      for (double& v : want) v = gelu(kind, v);
      expect_each(out.read(), want, want, dtype());
    }
}

TEST_P(Activation, GeluBackward) {
  for (Gelu kind : {Gelu::tanh, Gelu::erf})
    for (int64_t n : {1, 15, 16, 515}) {
      Buffer in(dtype(), {n}, wide_values(n, 1)), dout(dtype(), {n}, 2), din(dtype(), {n});
      backend().gelu_backward(kind, din, dout, in);
      Doubles want(in.given().size());
      for (size_t i = 0; i < want.size(); ++i) {
        double x = in.given()[i], h = 1e-5 * std::max(1.0, std::fabs(x));
        want[i] = dout.given()[i] * (gelu(kind, x + h) - gelu(kind, x - h)) / (2 * h);
      }
      expect_each(din.read(), want, dout.given(), dtype());
    }
}

TEST_P(Activation, SwigluForward) {
  for (int64_t width : {1, 15, 16, 67, 5461}) {
    Buffer gate_up(dtype(), {3, 2 * width}, wide_values(6 * width, 1)), out(dtype(), {3, width});
    backend().swiglu_forward(out, gate_up);
    Doubles want(static_cast<size_t>(3 * width));
    for (int64_t i = 0; i < 3 * width; ++i) {
      const double* row = gate_up.given().data() + i / width * 2 * width + i % width;
      want[i] = silu(row[0]) * row[width];
    }
    expect_each(out.read(), want, want, dtype());
  }
}

TEST_P(Activation, SwigluBackward) {
  for (int64_t width : {1, 15, 16, 67}) {
    Buffer gate_up(dtype(), {3, 2 * width}, 1, 3.0), dout(dtype(), {3, width}, 2), d_gate_up(dtype(), {3, 2 * width});
    backend().swiglu_backward(d_gate_up, dout, gate_up);
    Doubles want = numeric_gradient(
        [&](const Doubles& x) {
          Doubles out(static_cast<size_t>(3 * width));
          for (int64_t i = 0; i < 3 * width; ++i) {
            const double* row = x.data() + i / width * 2 * width + i % width;
            out[i] = silu(row[0]) * row[width];
          }
          return out;
        },
        gate_up.given(), dout.given());
    expect_close(d_gate_up.read(), want, dtype(), "d_gate_up");
  }
}

TEST_P(Activation, NanComesOut) {
  Buffer in(dtype(), {40}, Doubles(40, std::nan(""))), out(dtype(), {40}),
      pairs(dtype(), {20, 2}, Doubles(40, std::nan("")));
  Buffer half(dtype(), {20, 1});
  for (Gelu kind : {Gelu::tanh, Gelu::erf}) {
    backend().gelu_forward(kind, out, in);
    for (double v : out.read()) EXPECT_TRUE(std::isnan(v));
    backend().gelu_backward(kind, out, in, in);
    for (double v : out.read()) EXPECT_TRUE(std::isnan(v));
  }
  backend().swiglu_forward(half, pairs);
  for (double v : half.read()) EXPECT_TRUE(std::isnan(v));
}

ROWAN_OVER_DTYPES(Activation);

}  // namespace
}  // namespace rowan::test
