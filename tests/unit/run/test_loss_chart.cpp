#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "run/loss_chart.h"
#include "temporary_folder.h"

namespace rowan {
namespace {

LossCurves falling() {
  LossCurves curves;
  for (int step = 0; step <= 400; ++step) {
    curves.train.push_back({static_cast<double>(step), 0.12 + 5.4 * std::exp(-step / 40.0)});
    if (step % 100 == 0) curves.validation.push_back(curves.train.back());
  }
  curves.floor = 0.108;
  return curves;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

size_t characters(const std::string& text) {
  size_t count = 0;
  for (char c : text) count += (c & 0xc0) != 0x80;
  return count;
}

TEST(LossChart, TextHasTheSizeAskedForAndTheFloorAtTheBottom) {
  std::string picture = loss_chart_text(falling(), 70, 12);
  std::vector<std::string> lines = lines_of(picture);
  ASSERT_EQ(lines.size(), 14u);
  for (int row = 0; row < 13; ++row) EXPECT_EQ(characters(lines[row]), 70u) << picture;
  EXPECT_NE(lines[11].find("0.108"), std::string::npos) << picture;
  EXPECT_NE(lines[11].find("╌"), std::string::npos) << picture;
  EXPECT_NE(lines[0].find('o'), std::string::npos) << picture;   // the first validation loss, at the top
  EXPECT_NE(lines[11].find('o'), std::string::npos) << picture;  // the last validation loss, near the floor
  EXPECT_NE(lines[13].find("step 0"), std::string::npos);
  EXPECT_NE(lines[13].find("400"), std::string::npos);
}

TEST(LossChart, TheCurveHasNoGaps) {
  LossCurves curves = falling();
  curves.validation.clear();
  // Every line of text between the ends of the curve has dots.
  for (const std::string& line : lines_of(loss_chart_text(curves, 70, 12))) {
    if (line.find("└") != std::string::npos) break;
    bool dots = false;  // braille characters, U+2801 to U+28FF
    for (size_t i = 0; i + 1 < line.size(); ++i) dots |= line[i] == '\xe2' && (line[i + 1] & 0xfc) == 0xa0;
    EXPECT_TRUE(dots) << line;
  }
}

TEST(LossChart, NothingToDrawIsEmptyAndOddValuesAreLeftOut) {
  EXPECT_EQ(loss_chart_text({}), "");
  EXPECT_EQ(loss_chart_svg({}), "");
  LossCurves curves{{{1, 2.0}}, {}, {}};
  EXPECT_EQ(loss_chart_text(curves), "");
  curves.train = {{1, 2.0}, {2, std::numeric_limits<double>::quiet_NaN()}, {3, 2.0}, {4, 0.0}};
  EXPECT_EQ(lines_of(loss_chart_text(curves)).size(), 17u);
  EXPECT_EQ(loss_chart_svg(curves).find("nan"), std::string::npos);
}

TEST(LossChart, SvgDrawsEveryCurve) {
  std::string svg = loss_chart_svg(falling());
  EXPECT_EQ(svg.rfind("<svg ", 0), 0u);
  EXPECT_NE(svg.find("</svg>"), std::string::npos);
  EXPECT_NE(svg.find("entropy of the text: 0.1080"), std::string::npos);
  EXPECT_NE(svg.find("validation loss"), std::string::npos);
  EXPECT_NE(svg.find("<circle "), std::string::npos) << "one evaluation is a point, not a line";
}

TEST(LossChart, CurvesComeFromMetricsAndRepeatedStepsCountOnce) {
  TemporaryFolder folder;
  std::string path = folder / "metrics.jsonl";
  write_file_atomically(path,
                        "{\"step\": 10, \"loss\": 3.5, \"lr\": 1e-3}\n{\"step\": 10, \"val_loss\": 3.25}\n"
                        "{\"step\": 20, \"loss\": 9}\n{\"step\": 20, \"loss\": 3}\n{\"step\": 30, \"loss\": null}\n");
  std::string notes;
  auto note = [&](const std::string& text) { notes += text + "\n"; };
  LossCurves curves = read_loss_curves(path, note);
  ASSERT_EQ(curves.train.size(), 2u);
  EXPECT_EQ(curves.train[1].loss, 3.0);
  ASSERT_EQ(curves.validation.size(), 1u);
  EXPECT_EQ(curves.validation[0].loss, 3.25);
  write_file_atomically(path, "{\"step\": 10, \"loss\": 3.5}\n{\"step\":\n");
  EXPECT_EQ(notes, "");
  EXPECT_EQ(read_loss_curves(path, note).train.size(), 1u);
  EXPECT_EQ(notes, path + ", line 2: found an invalid row; left out\n");
}

}  // namespace
}  // namespace rowan
