// Distances between numbers. A distance that is NaN counts as infinite, because std::max(x, NaN) returns x.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

namespace rowan {

// The larger of two distances.
inline double larger(double a, double b) {
  return std::isnan(a) || std::isnan(b) ? std::numeric_limits<double>::infinity() : std::max(a, b);
}

// The largest |a[i] - b[i]|; infinity if the sizes differ.
template <typename A, typename B>
double largest_difference(const A& a, const B& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = larger(largest, std::fabs(double{a[i]} - b[i]));
  return largest;
}

}  // namespace rowan
