// Tests cross-entropy and its gradient against float64, with infinite logits and NaN too. A target outside the
// vocabulary must be refused.
#include <algorithm>
#include <cmath>
#include <limits>

#include "suite.h"

namespace rowan::test {
namespace {

class Loss : public Ops {};

Doubles reference(const Doubles& logits, const Doubles& targets, int64_t width, const LossRule& rule, Doubles* gradient,
                  double scale) {
  const double cap = rule.softcap;
  Doubles losses;
  for (size_t n = 0; n < targets.size(); ++n) {
    Doubles z(logits.begin() + static_cast<int64_t>(n) * width, logits.begin() + static_cast<int64_t>(n + 1) * width),
        slope(z.size(), 1.0);
    for (size_t v = 0; cap > 0 && v < z.size(); ++v) {
      const double l = z[v], norm = std::sqrt(l * l + cap * cap);
      z[v] = cap * l / norm;
      slope[v] = std::pow(cap / norm, 3);
    }
    double top = *std::max_element(z.begin(), z.begin() + rule.vocabulary), total = 0;
    for (int64_t v = 0; v < rule.vocabulary; ++v) total += std::exp(z[v] - top);
    bool ignored = targets[n] == -100;
    int64_t target = static_cast<int64_t>(targets[n]);
    const double log_sum = std::log(total) + top;
    losses.push_back(ignored ? 0.0 : log_sum - z[target]);
    for (int64_t v = 0; v < width; ++v)
      gradient->push_back(
          ignored || v >= rule.vocabulary
              ? 0.0
              : scale * slope[v] *
                    ((1 + 2 * double{rule.z_loss} * log_sum) * std::exp(z[v] - log_sum) - (v == target ? 1.0 : 0.0)));
  }
  return losses;
}

// With a soft cap, a loss is the difference of two rounded values that may be as large as the cap, so the error of the
// loss grows with the cap.
void expect_losses(const Doubles& got, const Doubles& want, const LossRule& rule) {
  const double largest = *std::max_element(want.begin(), want.end()),
               rounding = rule.softcap > 0 ? 4e-7 * std::max(1.0, double{rule.softcap}) : 0;
  for (size_t n = 0; n < want.size(); ++n)
    EXPECT_NEAR(got[n], want[n], 1e-6 * (std::fabs(want[n]) + largest) + rounding + 1e-30) << n;
}

TEST_P(Loss, AndGradient) {
  for (int64_t vocabulary : {1, 2, 15, 16, 33, 2049, 50257})
    for (LossRule rule : {LossRule{vocabulary}, LossRule{vocabulary, 15}, LossRule{vocabulary, 0.5f, 0.25f},
                          LossRule{vocabulary, 0, 0.01f}})
      for (double scale : {1.0, 30.0}) {
        Doubles targets = {0, -100, static_cast<double>(vocabulary - 1), static_cast<double>(vocabulary / 2), -100};
        const int64_t width = vocabulary + vocabulary % 5;
        Buffer logits(dtype(), {5, width}, 1, scale), losses(DType::f32, {5}, 2), ids(DType::i32, {5}, targets);
        Doubles gradient, want = reference(logits.given(), targets, width, rule, &gradient, 0.125);
        backend().cross_entropy(losses, logits, ids, rule, 0.125f, false);
        expect_losses(losses.read(), want, rule);
        EXPECT_EQ(logits.read(), logits.given());
        backend().cross_entropy(losses, logits, ids, rule, 0.125f, true);
        expect_losses(losses.read(), want, rule);
        expect_close(logits.read(), gradient, dtype(), "gradient", dtype() == DType::f32 ? 2e-6 : 4e-3);
      }
}

TEST(LossSizes, RealSizes) {
  constexpr int64_t rows = 40, vocabulary = 50257, width = 50304;
  Doubles targets = random_values(rows, 1);
  for (double& t : targets) t = std::floor(0.5 * std::erfc(t / std::sqrt(2.0)) * vocabulary);
  Buffer logits(DType::bf16, {rows, width}, 2, 3.0), losses(DType::f32, {rows}), ids(DType::i32, {rows}, targets);
  Doubles gradient, want = reference(logits.given(), targets, width, {vocabulary}, &gradient, 1e-3);
  backend().cross_entropy(losses, logits, ids, {vocabulary}, 1e-3f, true);
  expect_losses(losses.read(), want, {vocabulary});
  expect_close(logits.read(), gradient, DType::bf16, "gradient", 4e-3);
}

TEST_P(Loss, OfImpossibleTokens) {
  double infinity = std::numeric_limits<double>::infinity();
  Doubles values(40, -infinity);
  values[3] = 1.0, values[4] = 1.0;  // row 0: two equally likely tokens, one of them the target
  values[20 + 3] = 2.0;              // row 1: the target has probability 0
  Buffer logits(dtype(), {2, 20}, values), losses(DType::f32, {2}), ids(DType::i32, {2}, Doubles{4, 7});
  backend().cross_entropy(losses, logits, ids, {20}, 1.0f, true);
  EXPECT_NEAR(losses.read()[0], std::log(2.0), 1e-6);
  EXPECT_EQ(losses.read()[1], infinity);
  Doubles gradient = logits.read();
  EXPECT_NEAR(gradient[3], 0.5, 1e-6);
  EXPECT_NEAR(gradient[4], -0.5, 1e-6);
  EXPECT_EQ(gradient[5], 0.0);
}

TEST_P(Loss, ShowsNan) {
  for (size_t place : {size_t{0}, size_t{5}, size_t{49}}) {
    Doubles values(50, 0.25);
    values[place] = std::nan("");
    Buffer logits(dtype(), {1, 50}, values), losses(DType::f32, {1}), ids(DType::i32, {1}, Doubles{7});
    backend().cross_entropy(losses, logits, ids, {50}, 1.0f, true);
    EXPECT_TRUE(std::isnan(losses.read()[0]));
    EXPECT_TRUE(std::isnan(logits.read()[20]));
  }
}

TEST(LossTargets, OutsideTheVocabularyAreNamed) {
  if (!backend().host_memory()) GTEST_SKIP() << "needs a backend whose memory the host can read";
  for (double bad : {50.0, -1.0, -99.0}) {
    Buffer logits(DType::f32, {2, 50}, 1), losses(DType::f32, {2}), ids(DType::i32, {2}, Doubles{-100, bad});
    std::string message = error_of([&] { backend().cross_entropy(losses, logits, ids, {50}, 1.0f, true); });
    EXPECT_NE(message.find("cross_entropy: target 1: found id " + std::to_string(static_cast<int>(bad)) + ","),
              std::string::npos)
        << message;
  }
}

ROWAN_OVER_DTYPES(Loss);

}  // namespace
}  // namespace rowan::test
