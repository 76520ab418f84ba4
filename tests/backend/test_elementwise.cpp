// Tests the operations scale, add, lerp, clamp, swap_axes, sum and sum_squares.
#include <cmath>
#include <limits>

#include "suite.h"

namespace rowan::test {
namespace {

constexpr int64_t sizes[] = {1, 7, 16, 33, 1000};

class Elementwise : public Ops {};

TEST_P(Elementwise, Scale) {
  for (int64_t n : sizes) {
    Buffer x(dtype(), {n}, 1);
    backend().scale(x, -0.37f);
    Doubles want = x.given();
    for (double& v : want) v *= static_cast<double>(-0.37f);
    expect_close(x.read(), want, dtype(), "x");
  }
}

TEST_P(Elementwise, AddInAnyMix) {
  for (DType other : {DType::f32, DType::bf16})
    for (int64_t n : sizes) {
      Buffer y(dtype(), {n}, 1), x(other, {n}, 2);
      backend().add(y, x);
      expect_close(y.read(), plus(y.given(), x.given()), dtype(), "y");
    }
}

TEST_P(Elementwise, LerpGoesPartOfTheWay) {
  for (int64_t n : sizes) {
    Buffer y(DType::f32, {n}, 1), x(dtype(), {n}, 2);
    backend().lerp(y, x, 0.3f);
    Doubles want = y.given(), towards = x.given();
    for (size_t i = 0; i < want.size(); ++i) want[i] += static_cast<double>(0.3f) * (towards[i] - want[i]);
    expect_close(y.read(), want, DType::f32, "y");
  }
}

TEST_P(Elementwise, SwapAxesTakesLinesElsewhere) {
  for (int64_t c : {1, 5, 8, 64})
    for (const auto& [a, b] : std::vector<std::pair<int64_t, int64_t>>{{3, 7}, {1, 4}, {33, 2}}) {
      Buffer from(dtype(), {a, b, c}, 1), to(dtype(), {b, a, c}), back(dtype(), {a, b, c});
      backend().swap_axes(to, from);
      const Doubles x = from.read(), y = to.read();
      for (int64_t i = 0; i < a; ++i)
        for (int64_t j = 0; j < b; ++j)
          for (int64_t k = 0; k < c; ++k) ASSERT_EQ(y[(j * a + i) * c + k], x[(i * b + j) * c + k]);
      backend().swap_axes(back, to);
      EXPECT_EQ(back.read(), x);
    }
  Buffer flat(dtype(), {3, 4}), cube(dtype(), {3, 2, 4});
  EXPECT_NE(error_of([&] { backend().swap_axes(cube, flat); }).find("expected 3 dimension(s)"), std::string::npos);
  EXPECT_NE(error_of([&] { backend().swap_axes(cube, cube); }).find("expected"), std::string::npos);
}

TEST_P(Elementwise, ClampTouchesItsColumnsOnly) {
  Buffer x(dtype(), {5, 37}, 1), dx(dtype(), {5, 37}, 2);
  float limit = 0.7f;
  double bound = rounded(static_cast<double>(limit), dtype());
  backend().clamp_forward(x, 3, 30, limit);
  backend().clamp_backward(dx, x, 3, 30, limit);
  Doubles want = x.given(), d_want = dx.given();
  for (size_t i = 0; i < want.size(); ++i)
    if (i % 37 >= 3 && i % 37 < 30) {
      want[i] = std::min(std::max(want[i], -bound), bound);
      if (std::fabs(want[i]) >= bound) d_want[i] = 0;
    }
  EXPECT_EQ(x.read(), want);
  EXPECT_EQ(dx.read(), d_want);
}

TEST(Reductions, SumAccumulates) {
  for (int64_t n : {1, 33, 70001}) {
    Buffer x(DType::f32, {n}, 3), out(DType::f32, {1}, Doubles{5.0});
    double want = 0;
    for (double v : x.given()) want += v;
    backend().sum(out, x, true);
    EXPECT_NEAR(out.read()[0], want + 5, 1e-5 * (std::fabs(want) + 5));
    backend().sum(out, x, false);
    EXPECT_NEAR(out.read()[0], want, 1e-5 * (std::fabs(want) + 1));
  }
}

TEST(Reductions, SumSquaresOfAllTensors) {
  Buffer a(DType::f32, {3, 17}, 1), b(DType::bf16, {40001}, 2), c(DType::f32, {1}, 3), out(DType::f32, {1});
  double want = 0;
  for (const Buffer* x : {&a, &b, &c})
    for (double v : x->given()) want += v * v;
  backend().sum_squares(out, {a, b, c});
  EXPECT_NEAR(out.read()[0], want, 1e-5 * want);
}

TEST(Reductions, SumSquaresShowsWhatIsNotFinite) {
  Buffer out(DType::f32, {1});
  for (double bad : {std::nan(""), std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()})
    for (DType dtype : {DType::f32, DType::bf16}) {
      Doubles values(1003, 0.5);
      values[1001] = bad;
      Buffer x(dtype, {1003}, values);
      backend().sum_squares(out, {x});
      EXPECT_FALSE(std::isfinite(out.read()[0]));
    }
}

ROWAN_OVER_DTYPES(Elementwise);

}  // namespace
}  // namespace rowan::test
