// Tests sums, factors, selection and sorting along the rows or columns of matrices. Also tests powers and products,
// steps that end on a sphere, eigenvectors, orthogonal factors, and error messages.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "suite.h"

namespace rowan::test {
namespace {

class OptimizerAxes : public Ops {};

constexpr int64_t shapes[][3] = {{1, 1, 1}, {2, 1, 37}, {3, 19, 1}, {2, 33, 70}};

int64_t width(Along along, int64_t rows, int64_t cols) {
  return along == Along::row ? rows : along == Along::column ? cols : 1;
}

size_t place(Along along, int64_t cols, size_t i) {
  const size_t c = static_cast<size_t>(cols);
  return along == Along::row ? i / c : along == Along::column ? i % c : 0;
}

std::vector<Tensor> parts(const Tensor& batch) {
  std::vector<Tensor> result;
  for (int64_t i = 0; i < batch.dim(0); ++i) result.push_back(batch.at(i));
  return result;
}

TEST_P(OptimizerAxes, SumsAndFactors) {
  for (auto [n, rows, cols] : shapes)
    for (Along along : {Along::row, Along::column, Along::matrix}) {
      const int64_t k = width(along, rows, cols);
      Buffer a(dtype(), {n, rows, cols}, 1), b(DType::f32, {n, rows, cols}, 2), out(DType::f32, {n, k}),
          factors(DType::f32, {n, k}, 3);
      Doubles products(static_cast<size_t>(n * k)), magnitudes = products, scaled = a.given();
      for (size_t i = 0; i < scaled.size(); ++i) {
        const size_t m = i / static_cast<size_t>(rows * cols), inside = i % static_cast<size_t>(rows * cols);
        const size_t at = m * static_cast<size_t>(k) + place(along, cols, inside);
        products[at] += a.given()[i] * b.given()[i];
        magnitudes[at] += std::fabs(a.given()[i]);
        scaled[i] *= factors.given()[at];
      }
      backend().sums_along(out, parts(a), parts(b), along);
      expect_close(out.read(), products, DType::f32, "products", 1e-4);
      backend().sums_along(out, parts(a), {}, along);
      expect_close(out.read(), magnitudes, DType::f32, "magnitudes");
      backend().scale_along(a, factors, along);
      expect_close(a.read(), scaled, dtype(), "scaled");
    }
}

TEST(OptimizerAxesOnce, PowersAndProducts) {
  Buffer x(DType::f32, {2, 3}, {4, 0, -1, 1e-3, 9, 16}), y(DType::f32, {2, 3}, {1, 2, 3, 4, 5, 6});
  backend().power(x, {2, 1e-2f, -0.5f, 0});
  expect_close(x.read(), {1, 20, 20, 20, 2.0 / 3, 0.5}, DType::f32, "power");
  backend().multiply(y, x);
  expect_close(y.read(), {1, 40, 60, 80, 10.0 / 3, 3}, DType::f32, "product");
  Buffer shifted(DType::f32, {2}, {3, -5});
  backend().power(shifted, {1, 0, 0.5f, 1});
  expect_close(shifted.read(), {2, 0}, DType::f32, "shifted");
  Buffer odd(DType::f32, {5}, {4, -4, 1e-3, -1e-3, 0});
  backend().power(odd, {2, 1e-2f, -0.5f, 0, true});
  expect_close(odd.read(), {1, -1, 20, -20, 20}, DType::f32, "odd");
}

TEST(OptimizerAxesOnce, StepsThatEndOnASphere) {
  const Doubles w = random_values(12, 1), u = random_values(12, 2);
  for (bool given : {false, true}) {
    Doubles ww(3), uw(3), uu(3), radii = {0.5, 1, 2};
    for (size_t i = 0; i < 12; ++i) {
      ww[i / 4] += w[i] * w[i];
      uw[i / 4] += u[i] * w[i];
      uu[i / 4] += u[i] * u[i];
    }
    Buffer steps(DType::f32, {1, 3}, {0.1, 0.2, 0.3}), keeps(DType::f32, {1, 3}), a(DType::f32, {1, 3}, ww),
        b(DType::f32, {1, 3}, uw), c(DType::f32, {1, 3}, uu), r(DType::f32, {1, 3}, radii);
    backend().retract_factors(steps, keeps, a, b, c, given ? r.tensor() : Tensor(), {0.3f, 0.1f, 1e-10f, given});
    const Doubles s = steps.read(), k = keeps.read();
    for (size_t row = 0; row < 3; ++row) {
      double square = 0;
      for (size_t i = 4 * row; i < 4 * row + 4; ++i) square += std::pow(k[row] * w[i] - s[row] * u[i], 2);
      const double radius = given ? radii[row] : std::sqrt(ww[row]);
      EXPECT_NEAR(std::sqrt(square), radius, 1e-5 * radius);
      EXPECT_NEAR(s[row] / k[row], (given ? 0.1 * double(row + 1) : 0.3 * radius / std::sqrt(uu[row])) / 0.9, 1e-5);
    }
  }
}

// Limits and conditions do not turn a NaN into a number.
TEST_P(OptimizerAxes, PassesNaNOn) {
  const double nan = std::nan("");
  for (bool odd : {false, true}) {
    Buffer x(DType::f32, {3}, {nan, 4, nan});
    backend().power(x, {1, 1e-2f, -0.5f, 0, odd});
    const Doubles powers = x.read();
    EXPECT_TRUE(std::isnan(powers[0]) && std::isnan(powers[2])) << odd;
    EXPECT_NEAR(powers[1], 0.5, 1e-6);
  }
  Buffer signs(dtype(), {1, 1, 3}, {-2, nan, 3});
  backend().sign(signs);
  EXPECT_EQ((Doubles{signs.read()[0], signs.read()[2]}), (Doubles{-1, 1}));
  EXPECT_TRUE(std::isnan(signs.read()[1]));
  for (int bad = 0; bad < 3; ++bad) {
    Buffer steps(DType::f32, {1, 1}), keeps(DType::f32, {1, 1}), ww(DType::f32, {1, 1}, Doubles{bad == 0 ? nan : 1}),
        uw(DType::f32, {1, 1}, Doubles{bad == 1 ? nan : 1}), uu(DType::f32, {1, 1}, Doubles{bad == 2 ? nan : 1});
    backend().retract_factors(steps, keeps, ww, uw, uu, {}, {0.3f, 0.1f, 1e-10f});
    EXPECT_TRUE(std::isnan(steps.read()[0]) && std::isnan(keeps.read()[0])) << bad;
  }
  for (Eps mode : {Eps::inside, Eps::add, Eps::clamp}) {
    Buffer update(dtype(), {1, 2, 2}, {1, nan, 3, 4});
    NormalizeRule rule;
    rule.rows = true;
    rule.eps_mode = mode;
    rule.clip = mode == Eps::add ? 2.0f : 0.0f;
    backend().normalize(update, rule);
    const Doubles u = update.read();
    EXPECT_TRUE(std::isnan(u[0]) && std::isnan(u[1])) << static_cast<int>(mode);
    EXPECT_TRUE(std::isfinite(u[2]) && std::isfinite(u[3])) << static_cast<int>(mode);
  }
  for (bool decay : {false, true}) {
    Buffer update(dtype(), {1, 1, 2}, 1), weights(DType::f32, {1, 2}, 2), factors(DType::f32, {1, 1}, Doubles{nan});
    OptimizerSlot slot;
    slot.weight = slot.gradient = weights;
    ApplyRule rule{};
    rule.lr = 1;
    rule.weight_decay = decay ? 1 : 0;
    rule.adaptive_decay = decay;
    rule.cap = decay ? 0.5f : 3.4e38f;
    backend().apply(update, {slot}, factors, {}, rule);
    for (double w : weights.read()) EXPECT_TRUE(std::isnan(w)) << decay;
  }
}

// With a small eps, the factors of a row and of a column of zeros are so large that their product overflows.
TEST_P(OptimizerAxes, NormalizesZerosToZeros) {
  Buffer update(dtype(), {1, 2, 3}, {0, 0, 0, 0, 3, 4});
  NormalizeRule rule;
  rule.rows = rule.columns = true;
  rule.exponent = -1;
  rule.eps = 1e-20f;
  rule.eps_mode = Eps::inside;
  backend().normalize(update, rule);
  expect_close(update.read(), {0, 0, 0, 0, 3.0 / (25 * 9), 4.0 / (25 * 16)}, dtype(), "update");
}

// The square of NorMuon's r = 1 / (sqrt(v) + eps) overflows where v is 0.
TEST(OptimizerAxesOnce, AdaptiveFactorsOfARowOfZeros) {
  Buffer factors(DType::f32, {1, 2}), sums(DType::f32, {1, 2}, {0, 4}), second(DType::f32, {2});
  OptimizerSlot slot;
  slot.second = second;
  AdaptRule rule;
  rule.normuon = true;
  rule.second = 0.5;
  rule.eps = 1e-30f;
  backend().adaptive_factors(factors, {slot}, sums, {}, rule);
  EXPECT_NEAR(factors.read()[0], std::sqrt(2.0) * 1e30, 1e24);  // norm / sqrt(sum of r^2 update_sums) = 2 / sqrt(2)
  EXPECT_NEAR(factors.read()[1], 1, 1e-6);
}

TEST_P(OptimizerAxes, KeepsTheLargest) {
  for (Along along : {Along::row, Along::column}) {
    const int64_t n = 2, rows = 7, cols = 5, k = width(along, rows, cols);
    Buffer update(dtype(), {n, rows, cols}, 1), weights(DType::f32, {n, rows, cols}, 2),
        first(DType::f32, {n, rows, cols}, 3);
    std::vector<OptimizerSlot> slots(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) {
      slots[i].weight = slots[i].gradient = weights.tensor().at(i);
      slots[i].first = first.tensor().at(i);
    }
    Doubles u = update.given(), m = first.given();
    for (int64_t i = 0; i < n; ++i) {
      Doubles sums(static_cast<size_t>(k));
      const size_t begin = static_cast<size_t>(i * rows * cols), size = static_cast<size_t>(rows * cols);
      for (size_t j = 0; j < size; ++j) sums[place(along, cols, j)] += std::fabs(u[begin + j]);
      Doubles sorted = sums;
      std::sort(sorted.rbegin(), sorted.rend());
      for (size_t j = 0; j < size; ++j) {
        if (sums[place(along, cols, j)] >= sorted[1])
          m[begin + j] *= 0.5;
        else
          u[begin + j] = 0;
      }
    }
    EXPECT_THROW(backend().keep_largest(update, slots, {along, 100, 0.5f}), Error);
    backend().keep_largest(update, slots, {along, 2, 0.5f});
    expect_close(update.read(), u, dtype(), "update");
    expect_close(first.read(), m, DType::f32, "first");
  }
}

TEST_P(OptimizerAxes, SortsByFallingKeys) {
  for (Along along : {Along::row, Along::column}) {
    const int64_t n = 2, rows = 4, cols = 3, k = width(along, rows, cols);
    Buffer x(dtype(), {n, rows, cols}, 1),
        keys(DType::f32, {n, k}, along == Along::row ? Doubles{1, 3, 2, 3, 4, 3, 2, 1} : Doubles{1, 3, 2, 2, 2, 1});
    const std::vector<std::vector<size_t>> orders = along == Along::row
                                                        ? std::vector<std::vector<size_t>>{{1, 3, 2, 0}, {0, 1, 2, 3}}
                                                        : std::vector<std::vector<size_t>>{{1, 2, 0}, {0, 1, 2}};
    Doubles want = x.given();
    for (size_t m = 0; m < 2; ++m)
      for (size_t i = 0; i < 4; ++i)
        for (size_t j = 0; j < 3; ++j)
          want[(m * 4 + i) * 3 + j] = x.given()[(m * 4 + (along == Along::row ? orders[m][i] : i)) * 3 +
                                                (along == Along::column ? orders[m][j] : j)];
    backend().sort_along(parts(x), keys, along);
    EXPECT_EQ(x.read(), want);
  }
}

// Keys that are NaN come first, in their original order, and the sort loses no row.
TEST_P(OptimizerAxes, SortsNaNBeforeNumbers) {
  const double nan = std::nan("");
  Buffer x(dtype(), {1, 6, 2}, 1), keys(DType::f32, {1, 6}, Doubles{1, nan, 3, nan, INFINITY, -INFINITY});
  Doubles want;
  for (size_t row : {1, 3, 4, 2, 0, 5}) want.insert(want.end(), {x.given()[2 * row], x.given()[2 * row + 1]});
  backend().sort_along(parts(x), keys, Along::row);
  EXPECT_EQ(x.read(), want);
}

TEST_P(OptimizerAxes, KeepsRowsThatAreNaN) {
  Buffer update(dtype(), {1, 4, 2}, Doubles{1, 1, std::nan(""), 1, 3, 3, 2, std::nan("")}),
      weights(DType::f32, {1, 4, 2}, 2), first(DType::f32, {1, 4, 2}, Doubles{1, 2, 3, 4, 5, 6, 7, 8});
  OptimizerSlot slot;
  slot.weight = slot.gradient = weights.tensor().at(0);
  slot.first = first.tensor().at(0);
  backend().keep_largest(update, {slot}, {Along::row, 3, 0.5f});
  const Doubles u = update.read();
  for (size_t i : {2, 7}) EXPECT_TRUE(std::isnan(u[i])) << i;
  EXPECT_EQ((Doubles{u[0], u[1], u[3], u[4], u[5], u[6]}), (Doubles{0, 0, 1, 3, 3, 2}));
  EXPECT_EQ(first.read(), (Doubles{1, 2, 1.5, 2, 2.5, 3, 3.5, 4}));
}

TEST(OptimizerAxesOnce, EigenvectorsOfWhatIsNotFinite) {
  for (double bad : {std::nan(""), HUGE_VAL}) {
    Buffer a(DType::f32, {3, 3}, Doubles{1, 0, bad, 0, 2, 0, bad, 0, 3}),
        good(DType::f32, {3, 3}, Doubles{1, 0, 0, 0, 4, 0, 0, 0, 2}), q(DType::f32, {3, 3}, 1),
        p(DType::f32, {3, 3}, 2), values(DType::f32, {3}, 3), others(DType::f32, {3}, 4);
    backend().eigenvectors({q, p}, {values, others}, {a, good});
    EXPECT_EQ(q.read(), (Doubles{1, 0, 0, 0, 1, 0, 0, 0, 1}));
    EXPECT_EQ(values.read(), (Doubles{1, 2, 3}));
    EXPECT_EQ(others.read(), (Doubles{4, 2, 1})) << "eigenvalues of the finite matrix";
  }
}

Doubles times(const Doubles& a, const Doubles& b, size_t k, bool transpose_a) {
  Doubles c(k * k);
  for (size_t i = 0; i < k; ++i)
    for (size_t j = 0; j < k; ++j)
      for (size_t l = 0; l < k; ++l) c[i * k + j] += (transpose_a ? a[l * k + i] : a[i * k + l]) * b[l * k + j];
  return c;
}

void expect_orthogonal(const Doubles& q, size_t k) {
  const Doubles unit = times(q, q, k, true);
  for (size_t i = 0; i < k * k; ++i) EXPECT_NEAR(unit[i], i / k == i % k ? 1 : 0, 1e-6);
}

TEST(OptimizerAxesOnce, Eigenvectors) {
  // Full rank, half rank, and a zero matrix.
  for (size_t k : {1, 2, 7, 24})
    for (size_t rank : {k, (k + 1) / 2, size_t{0}}) {
      const int64_t side = static_cast<int64_t>(k);
      Doubles a(k * k);
      const Doubles g = random_values(side * side, k + rank);
      for (size_t i = 0; i < k; ++i)
        for (size_t j = 0; j < k; ++j)
          for (size_t l = 0; l < rank; ++l) a[i * k + j] += g[i * k + l] * g[j * k + l];
      Buffer one(DType::f32, {side, side}, a), two(DType::f32, {side, side}, a), q(DType::f32, {side, side}),
          p(DType::f32, {side, side}), values(DType::f32, {side}), others(DType::f32, {side});
      backend().eigenvectors({q, p}, {values, others}, {one, two});
      EXPECT_EQ(q.read(), p.read());
      const Doubles vectors = q.read(), lambda = values.read();
      expect_orthogonal(vectors, k);
      EXPECT_TRUE(std::is_sorted(lambda.rbegin(), lambda.rend()));
      const Doubles diagonal = times(vectors, times(one.given(), vectors, k, false), k, true);
      const double size = std::max(1e-30, std::fabs(lambda[0]));
      for (size_t i = 0; i < k * k; ++i)
        EXPECT_NEAR(diagonal[i], i / k == i % k ? lambda[i / k] : 0, 2e-6 * size) << k << " " << rank;
    }
}

TEST(OptimizerAxesOnce, OrthogonalFactor) {
  for (size_t k : {1, 2, 7, 24})
    for (bool singular : {false, true}) {
      const int64_t side = static_cast<int64_t>(k);
      Doubles a = random_values(side * side, 5 + k);
      for (size_t i = 0; singular && i < k; ++i) a[i * k + k / 2] = 0;
      Buffer q(DType::f32, {side, side}, a), other(DType::f32, {side, side}, a);
      backend().orthonormalize({q, other});
      EXPECT_EQ(q.read(), other.read());
      expect_orthogonal(q.read(), k);
      const Doubles r = times(q.read(), q.given(), k, true);
      for (size_t i = 0; i < k; ++i)
        for (size_t j = 0; j < i; ++j) EXPECT_NEAR(r[i * k + j], 0, 1e-5) << k;
    }
}

TEST(OptimizerAxesOnce, OrthogonalFactorOfWhatIsNotFinite) {
  for (double bad : {std::nan(""), HUGE_VAL})
    for (size_t at : {0, 3, 14, 24}) {
      Doubles a = random_values(25, 5);
      a[at] = bad;
      Buffer q(DType::f32, {5, 5}, a);
      backend().orthonormalize({q});
      expect_orthogonal(q.read(), 5);
    }
}

TEST(OptimizerAxesOnce, RefusesWhatDoesNotFit) {
  Buffer a(DType::f32, {3, 4}), q(DType::f32, {4, 4}), values(DType::f32, {3}), sums(DType::f32, {1, 3});
  EXPECT_NE(error_of([&] { backend().orthonormalize({a}); }).find("expected fp32 and square"), std::string::npos);
  EXPECT_NE(error_of([&] { backend().eigenvectors({q}, {values}, {q}); }).find("values: found fp32[3]"),
            std::string::npos);
  EXPECT_EQ(error_of([&] { backend().sums_along(sums, {a}, {q}, Along::row); }),
            "sums_along: b: found 1 x fp32[4, 4], expected 1 x fp32[3, 4]");
  EXPECT_NE(error_of([&] { backend().sort_along({a}, sums, Along::matrix); }).find("row or column"), std::string::npos);
}

ROWAN_OVER_DTYPES(OptimizerAxes);

}  // namespace
}  // namespace rowan::test
