// What a few seeds say about a figure.
#pragma once

#include <cstdint>
#include <span>

namespace rowan {

struct Spread {
  int64_t count = 0;
  double mean = 0;
  double deviation = 0;  // of the sample, with count - 1; NaN for one value
};
Spread spread_of(std::span<const double> values);

// The t with P(|T| <= t) = `level` for Student's T of `degrees` degrees of freedom, 1 or more.
double student_quantile(double level, int64_t degrees);

// Half the width of the confidence interval of the mean of independent normal values; NaN for one value.
double confidence_of_mean(const Spread& spread, double level = 0.95);

}  // namespace rowan
