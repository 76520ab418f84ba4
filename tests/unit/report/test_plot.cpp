#include <gtest/gtest.h>

#include <string>

#include "report/plot.h"

namespace rowan {
namespace {

// On a logarithmic axis of more than three decades, labels of 2 and 5 times a power of ten would overlap.
TEST(Plot, LabelsOfALogarithmicAxisDoNotOverlap) {
  auto labelled = [](double first, double last, const std::string& label) {
    const Plot plot{"losses", "lr", "loss", true, {{"a", 0, false, {{first, 40.0}, {last, 30.0}}}}};
    return plot_svg(plot).find(">" + label + "</text>") != std::string::npos;
  };
  for (const char* label : {"0.001", "0.002", "0.005", "0.01", "0.5", "1"}) EXPECT_TRUE(labelled(0.001, 1, label));
  EXPECT_FALSE(labelled(0.001, 1, "2"));
  for (const char* label : {"1e-05", "0.0001", "0.001", "0.1"}) EXPECT_TRUE(labelled(5e-6, 0.32, label)) << label;
  for (const char* label : {"5e-06", "2e-05", "0.0005", "0.2"}) EXPECT_FALSE(labelled(5e-6, 0.32, label)) << label;
}

}  // namespace
}  // namespace rowan
