// Statistics of a value over a few seeds.
#pragma once

#include <cstdint>
#include <span>

namespace rowan {

struct Spread {
  int64_t count = 0;
  double mean = 0;
  double deviation = 0;  // sample standard deviation (count - 1); NaN for fewer than two values
};
Spread spread_of(std::span<const double> values);

// The t for which P(|T| <= t) = `level`, where T has Student's distribution with `degrees` (at least 1) degrees of
// freedom.
double student_quantile(double level, int64_t degrees);

// Half the width of the confidence interval of the mean, for independent normal values; NaN for fewer than two values.
double confidence_of_mean(const Spread& spread, double level = 0.95);

}  // namespace rowan
