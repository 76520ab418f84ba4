#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "report/statistics.h"

namespace rowan {
namespace {

TEST(Statistics, MeanAndDeviationOfASample) {
  const Spread spread = spread_of(std::vector<double>{2, 4, 9});
  EXPECT_EQ(spread.count, 3);
  EXPECT_DOUBLE_EQ(spread.mean, 5);
  EXPECT_DOUBLE_EQ(spread.deviation, std::sqrt(13.0));
  EXPECT_TRUE(std::isnan(spread_of(std::vector<double>{1}).deviation));
  EXPECT_EQ(spread_of({}).count, 0);
}

// The expected values are from two-sided tables of Student's t distribution.
TEST(Statistics, QuantilesAreThoseOfTheTables) {
  EXPECT_NEAR(student_quantile(0.95, 1), 12.706, 5e-4);
  EXPECT_NEAR(student_quantile(0.95, 2), 4.303, 5e-4);
  EXPECT_NEAR(student_quantile(0.95, 3), 3.182, 5e-4);
  EXPECT_NEAR(student_quantile(0.95, 4), 2.776, 5e-4);
  EXPECT_NEAR(student_quantile(0.95, 9), 2.262, 5e-4);
  EXPECT_NEAR(student_quantile(0.99, 10), 3.169, 5e-4);
  EXPECT_NEAR(student_quantile(0.9, 29), 1.699, 5e-4);
  EXPECT_NEAR(student_quantile(0.95, 100000), 1.960, 5e-4);
}

TEST(Statistics, ConfidenceOfAMean) {
  EXPECT_NEAR(confidence_of_mean(spread_of(std::vector<double>{1, 2, 3})), 4.3026527 / std::sqrt(3.0), 1e-6);
  EXPECT_TRUE(std::isnan(confidence_of_mean(spread_of(std::vector<double>{1}))));
}

}  // namespace
}  // namespace rowan
