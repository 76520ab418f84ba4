// Compares matrix products that are computed as symmetric (Result::symmetric) with float64. In most tests the operands
// are independent random matrices, so the exact product is not symmetric. The results then show that the upper triangle
// is a copy of the lower triangle.
#include <cmath>

#include "suite.h"

namespace rowan::test {
namespace {

class SymmetricProducts : public Ops {
 protected:
  // alpha op(a) op(b) + beta * added, with the lower triangle copied to the upper triangle. op(a) is [n, k].
  static Doubles want(const Buffer& a, bool ta, const Buffer& b, bool tb, int64_t batch, int64_t n, int64_t k,
                      double alpha, double beta, const Doubles& added) {
    Doubles c(static_cast<size_t>(batch * n * n));
    for (int64_t e = 0; e < batch; ++e)
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j <= i; ++j) {
          const double *left = &a.given()[e * n * k], *right = &b.given()[e * n * k];
          double sum = 0;
          for (int64_t x = 0; x < k; ++x) sum += left[ta ? x * n + i : i * k + x] * right[tb ? j * k + x : x * n + j];
          const double value = alpha * sum + (beta != 0 ? beta * added[e * n * n + i * n + j] : 0);
          c[e * n * n + i * n + j] = c[e * n * n + j * n + i] = value;
        }
    return c;
  }

  static void expect_symmetric(const Doubles& c, int64_t batch, int64_t n) {
    int64_t wrong = 0;
    for (int64_t e = 0; e < batch; ++e)
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < i; ++j) wrong += c[(e * n + i) * n + j] != c[(e * n + j) * n + i];
    EXPECT_EQ(wrong, 0) << "asymmetric elements of " << batch << " matrices of " << n;
  }
};

struct Case {
  int64_t batch, n, k;
};
// `cases` has small sizes around multiples of a tile. `large_cases` has sizes that are computed in several strips, an
// inner dimension that is summed in parts, and many small matrices.
const Case cases[] = {{1, 1, 3}, {2, 2, 5}, {3, 17, 9}, {1, 63, 20}, {2, 65, 129}, {1, 127, 40}, {2, 129, 33}};
const Case large_cases[] = {{1, 384, 9}, {2, 520, 7}, {1, 1100, 3}, {1, 70, 800}, {40, 12, 12}};

TEST_P(SymmetricProducts, InEveryOrientation) {
  for (auto [batch, n, k] : cases)
    for (int transposes = 0; transposes < 4; ++transposes)
      for (auto [alpha, beta] : {std::pair<float, float>{1, 0}, {-1.5f, 0.25f}}) {
        const bool ta = transposes & 1, tb = transposes & 2;
        Buffer a(dtype(), {batch, ta ? k : n, ta ? n : k}, 1), b(dtype(), {batch, tb ? n : k, tb ? k : n}, 2);
        const Doubles before =
            beta != 0 ? random_values(batch * n * n, 3) : Doubles(static_cast<size_t>(batch * n * n), std::nan(""));
        Buffer c(dtype(), {batch, n, n}, before);
        backend().matmul(c, {a, ta}, {b, tb}, alpha, beta, Result::symmetric);
        const Doubles got = c.read();
        expect_close(got, want(a, ta, b, tb, batch, n, k, alpha, beta, c.given()), dtype(), "c");
        expect_symmetric(got, batch, n);
      }
}

TEST_P(SymmetricProducts, InSeveralParts) {
  for (auto [batch, n, k] : large_cases) {
    Buffer a(dtype(), {batch, n, k}, 1), b(dtype(), {batch, n, k}, 2), source(dtype(), {batch, n, n}, 3);
    const Doubles nothing(static_cast<size_t>(batch * n * n), std::nan(""));
    Buffer c(dtype(), {batch, n, n}, nothing), again(dtype(), {batch, n, n}, nothing);
    backend().matmul_add(c, source, {a}, {b, true}, 0.5f, -2, Result::symmetric);
    backend().matmul_add(again, source, {a}, {b, true}, 0.5f, -2, Result::symmetric);
    const Doubles got = c.read();
    expect_close(got, want(a, false, b, true, batch, n, k, 0.5, -2, source.given()), dtype(), "c");
    expect_symmetric(got, batch, n);
    EXPECT_EQ(again.read(), got);
    EXPECT_EQ(source.read(), source.given());
  }
}

// Newton-Schulz computes such products, x^T x. The tensors have no batch dimension.
TEST_P(SymmetricProducts, OfAMatrixAndItself) {
  constexpr int64_t n = 129, k = 70;
  Buffer x(dtype(), {k, n}, 1), c(dtype(), {n, n});
  backend().matmul(c, {x, true}, {x}, 1, 0, Result::symmetric);
  const Doubles got = c.read();
  expect_close(got, want(x, true, x, false, 1, n, k, 1, 0, {}), dtype(), "c");
  expect_symmetric(got, 1, n);
}

ROWAN_OVER_DTYPES(SymmetricProducts);

}  // namespace
}  // namespace rowan::test
