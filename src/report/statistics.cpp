#include "report/statistics.h"

#include <cmath>
#include <limits>
#include <numbers>

namespace rowan {

Spread spread_of(std::span<const double> values) {
  Spread spread;
  spread.count = static_cast<int64_t>(values.size());
  const auto n = static_cast<double>(values.size());
  for (double value : values) spread.mean += value / n;
  double squares = 0;
  for (double value : values) squares += (value - spread.mean) * (value - spread.mean);
  spread.deviation = values.size() > 1 ? std::sqrt(squares / (n - 1)) : std::numeric_limits<double>::quiet_NaN();
  return spread;
}

namespace {

// P(|T| <= t), where T has Student's distribution with `degrees` degrees of freedom. Uses the finite sums of formulas
// 26.7.3 and 26.7.4 of Abramowitz and Stegun; `angle` is their theta.
double student_probability(double t, int64_t degrees) {
  const double angle = std::atan(t / std::sqrt(static_cast<double>(degrees)));
  const double cosine = std::cos(angle), sine = std::sin(angle);
  const bool odd = degrees % 2;
  double term = odd ? cosine : 1, sum = 0;
  for (int64_t i = odd ? 1 : 0; i <= degrees - 2; i += 2) {
    sum += term;
    term *= cosine * cosine * static_cast<double>(i + 1) / static_cast<double>(i + 2);
  }
  return odd ? 2 / std::numbers::pi * (angle + sine * sum) : sine * sum;
}

}  // namespace

double student_quantile(double level, int64_t degrees) {
  double low = 0, high = 1;
  while (student_probability(high, degrees) < level) high *= 2;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (student_probability(middle, degrees) < level ? low : high) = middle;
  }
  return high;
}

double confidence_of_mean(const Spread& spread, double level) {
  if (spread.count < 2) return std::numeric_limits<double>::quiet_NaN();
  return student_quantile(level, spread.count - 1) * spread.deviation / std::sqrt(static_cast<double>(spread.count));
}

}  // namespace rowan
