#include <gtest/gtest.h>

#include <set>
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

TEST(Plot, FortySeriesLookDifferent) {
  std::set<std::string> styles;
  for (size_t number = 0; number < 40; ++number) {
    const std::string svg = plot_svg({"losses", "step", "loss", false, {{"a", number, false, {{0, 3.0}, {1, 2.0}}}}});
    const size_t line = svg.find("stroke=\"#", svg.find("<polyline"));
    ASSERT_NE(line, std::string::npos);
    styles.insert(svg.substr(line, svg.find("/>", line) - line));
  }
  EXPECT_EQ(styles.size(), 40);
}

}  // namespace
}  // namespace rowan
