#include "run/loss_chart.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/json.h"
#include "run/metrics.h"

namespace rowan {
namespace {

bool drawable(const LossPoint& point) { return std::isfinite(point.loss) && point.loss > 0; }

// Maps steps and the logarithms of losses to the unit square, with x to the right and y downwards.
struct Frame {
  double first = std::numeric_limits<double>::infinity(), last = -first, low = first, high = -first;
  int points = 0;

  explicit Frame(const LossCurves& curves) {
    for (const auto* curve : {&curves.train, &curves.validation}) {
      for (const LossPoint& point : *curve) {
        if (!drawable(point)) continue;
        ++points;
        first = std::min(first, point.step);
        last = std::max(last, point.step);
        include(point.loss);
      }
    }
    if (curves.floor && *curves.floor > 0) include(*curves.floor);
    // A margin keeps curves off the frame. With it a flat curve runs near the center.
    low *= 0.95;
    high *= 1.05;
  }
  void include(double loss) {
    low = std::min(low, loss);
    high = std::max(high, loss);
  }
  bool empty() const { return points < 2 || first == last; }
  double x(double step) const { return (step - first) / (last - first); }
  double y(double loss) const { return std::log(high / loss) / std::log(high / low); }
  double loss_at(double y) const { return high * std::pow(low / high, y); }
};

// The mean loss of the points that fall into each of `width` columns; NaN in columns without points.
std::vector<double> column_means(const std::vector<LossPoint>& curve, const Frame& frame, int width) {
  std::vector<double> sums(width), counts(width);
  for (const LossPoint& point : curve) {
    if (!drawable(point)) continue;
    int column = std::min(static_cast<int>(frame.x(point.step) * width), width - 1);
    sums[column] += point.loss;
    ++counts[column];
  }
  for (int c = 0; c < width; ++c) sums[c] /= counts[c];
  return sums;
}

// A canvas of braille characters, each 2 dots wide and 4 high.
class Dots {
 public:
  Dots(int columns, int rows) : columns_(columns), rows_(rows), cells_(columns * rows) {}
  int width() const { return 2 * columns_; }
  int height() const { return 4 * rows_; }

  void set(int x, int y) {
    static constexpr int bit[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    cells_[y / 4 * columns_ + x / 2] |= bit[y % 4][x % 2];
  }
  void curve(const std::vector<double>& means, const Frame& frame) {
    int before = -1;
    for (int x = 0; x < width(); ++x) {
      if (std::isnan(means[x])) continue;
      int y = std::clamp(static_cast<int>(frame.y(means[x]) * height()), 0, height() - 1);
      // Each point is joined to the previous point, so that a steep curve has no vertical gaps.
      int from = before < 0 || before == y ? y : before < y ? before + 1 : before - 1;
      for (int at = std::min(from, y); at <= std::max(from, y); ++at) set(x, at);
      before = y;
    }
  }
  std::string cell(int column, int row, const char* empty) const {
    int dots = cells_[row * columns_ + column];
    if (dots == 0) return empty;
    int code = 0x2800 + dots;
    return {static_cast<char>(0xe0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 0x3f)),
            static_cast<char>(0x80 | (code & 0x3f))};
  }

 private:
  int columns_, rows_;
  std::vector<int> cells_;
};

}  // namespace

LossCurves read_loss_curves(const std::filesystem::path& metrics, const Note& note) {
  std::map<double, double> train, validation;
  for (const Json& row : read_metrics(metrics, note)) {
    // A loss that is not finite is null in metrics.jsonl.
    if (row.contains("loss") && row["loss"].is_number()) train[row["step"]] = row["loss"];
    if (row.contains("val_loss") && row["val_loss"].is_number()) validation[row["step"]] = row["val_loss"];
  }
  LossCurves curves;
  for (auto [step, loss] : train) curves.train.push_back({step, loss});
  for (auto [step, loss] : validation) curves.validation.push_back({step, loss});
  return curves;
}

std::string loss_chart_text(const LossCurves& curves, int columns, int rows) {
  Frame frame(curves);
  constexpr int label_width = 7;  // the width of "12.345 "
  columns -= label_width + 1;
  if (frame.empty() || columns < 16 || rows < 2) return "";
  Dots dots(columns, rows);
  dots.curve(column_means(curves.train, frame, dots.width()), frame);
  auto row_of = [&](double loss) { return std::clamp(static_cast<int>(frame.y(loss) * rows), 0, rows - 1); };
  std::vector<bool> marks(columns * rows);
  for (const LossPoint& point : curves.validation) {
    if (!drawable(point)) continue;
    int column = std::min(static_cast<int>(frame.x(point.step) * columns), columns - 1);
    marks[row_of(point.loss) * columns + column] = true;
  }
  int floor_row = curves.floor && *curves.floor > 0 ? row_of(*curves.floor) : -1;
  std::string text;
  for (int row = 0; row < rows; ++row) {
    if (row == floor_row) {
      text += fmt::format("{:6.3f} ┤", *curves.floor);
    } else if (row % 3 == 0) {
      text += fmt::format("{:6.3f} ┤", frame.loss_at((row + 0.5) / rows));
    } else {
      text += "       │";
    }
    for (int column = 0; column < columns; ++column) {
      text += marks[row * columns + column] ? "o" : dots.cell(column, row, row == floor_row ? "╌" : " ");
    }
    text += '\n';
  }
  text += "       └";
  for (int column = 0; column < columns; ++column) text += "─";
  std::string first = fmt::format("step {:.0f}", frame.first), last = fmt::format("{:.0f}", frame.last);
  std::string legend = curves.validation.empty() ? "⠒ loss" : "⠒ loss   o validation";
  size_t legend_width = curves.validation.empty() ? 6 : 21;
  if (floor_row >= 0) {
    legend += "   ╌ entropy of the text";
    legend_width += 24;
  }
  int gap = columns - static_cast<int>(first.size() + last.size() + legend_width);
  text += fmt::format("\n        {}{:{}}{}{:{}}{}\n", first, "", std::max(gap / 2, 1), legend, "",
                      std::max(gap - gap / 2, 1), last);
  return text;
}

std::string loss_chart_svg(const LossCurves& curves) {
  Frame frame(curves);
  if (frame.empty()) return "";
  constexpr double width = 720, height = 400, left = 60, right = 16, top = 28, bottom = 40;
  auto x = [&](double step) { return left + frame.x(step) * (width - left - right); };
  auto y = [&](double loss) { return top + frame.y(loss) * (height - top - bottom); };
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
      width, height);
  for (int tick = 0; tick <= 6; ++tick) {
    double loss = frame.loss_at(tick / 6.0);
    svg += fmt::format(
        "<path d=\"M{:.1f} {:.1f}H{:.1f}\" stroke=\"#ddd\"/><text x=\"{:.1f}\" y=\"{:.1f}\" "
        "text-anchor=\"end\">{:.3g}</text>\n",
        left, y(loss), width - right, left - 6, y(loss) + 4, loss);
    double step = frame.first + (frame.last - frame.first) * tick / 6.0;
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:.0f}</text>\n", x(step),
                       height - bottom + 18, step);
  }
  auto path = [&](const std::vector<LossPoint>& curve, const char* color) {
    std::string points;
    for (const LossPoint& point : curve) {
      if (drawable(point)) points += fmt::format("{:.1f},{:.1f} ", x(point.step), y(point.loss));
    }
    svg += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"/>\n", points, color);
  };
  auto legend = [&](double at, const char* color, const std::string& label) {
    svg += fmt::format("<text x=\"{}\" y=\"18\" fill=\"{}\">{}</text>\n", at, color, label);
  };
  path(curves.train, "#4477aa");
  legend(left, "#4477aa", "training loss (nats)");
  if (!curves.validation.empty()) {
    path(curves.validation, "#cc3311");
    for (const LossPoint& point : curves.validation)
      if (drawable(point))
        svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\" fill=\"#cc3311\"/>\n", x(point.step),
                           y(point.loss));
    legend(left + 150, "#cc3311", "validation loss");
  }
  if (curves.floor && *curves.floor > 0) {
    svg += fmt::format("<path d=\"M{:.1f} {:.1f}H{:.1f}\" stroke=\"#228833\" stroke-dasharray=\"6 4\"/>\n", left,
                       y(*curves.floor), width - right);
    legend(left + 280, "#228833", fmt::format("entropy of the text: {:.4f}", *curves.floor));
  }
  return svg +
         fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">step</text>\n</svg>\n", width / 2, height - 6);
}

}  // namespace rowan
