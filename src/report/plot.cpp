#include "report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace rowan {
namespace {

constexpr double width = 760, height = 420, left = 64, right = 200, top = 34, bottom = 46;

bool drawable(const std::pair<double, double>& point, bool log_x) {
  return std::isfinite(point.first) && std::isfinite(point.second) && (!log_x || point.first > 0);
}

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void add(double value) { low = std::min(low, value), high = std::max(high, value); }
  double part(double value) const { return high > low ? (value - low) / (high - low) : 0.5; }
};

// About `count` round numbers within the range.
std::vector<double> ticks(const Range& range, int count) {
  const double rough = (range.high - range.low) / count, power = std::pow(10, std::floor(std::log10(rough)));
  double step = power;
  for (double factor : {2.0, 5.0, 10.0})
    if (step < rough) step = power * factor;
  std::vector<double> result;
  for (double at = std::ceil(range.low / step) * step; at <= range.high + step * 1e-9; at += step)
    result.push_back(std::round(at / step) * step + 0.0);  // + 0.0 turns -0 into 0
  return result;
}

// Powers of ten within the range, which is that of the logarithms; also their doubles and fivefolds, if their labels
// fit.
std::vector<double> log_ticks(const Range& range) {
  const bool wide = range.high - range.low > 3;
  std::vector<double> result;
  for (double power = std::floor(range.low); power <= range.high; ++power)
    for (double digit : {1.0, 2.0, 5.0}) {
      const double value = digit * std::pow(10, power), at = std::log10(value);
      if (at >= range.low - 1e-9 && at <= range.high + 1e-9 && (digit == 1 || !wide)) result.push_back(value);
    }
  return result;
}

class Frame {
 public:
  explicit Frame(const Plot& plot) : log_x_(plot.log_x) {
    std::vector<double> heights;
    double ends = -std::numeric_limits<double>::infinity();
    for (const PlotSeries& series : plot.series) {
      double last = std::numeric_limits<double>::quiet_NaN();
      for (const auto& point : series.points) {
        if (!drawable(point, log_x_)) continue;
        x.add(place(point.first));
        heights.push_back(point.second);
        last = point.second;
      }
      if (std::isfinite(last)) ends = std::max(ends, last);
    }
    if (heights.empty()) return;
    const double lowest = *std::min_element(heights.begin(), heights.end());
    // Loss curves fall steeply at first. If the x axis is linear and there are more than 40 points, the plot omits the
    // points that are far above the ends of the curves.
    const double cut = heights.size() > 40 && !log_x_
                           ? std::max(ends, lowest) + 4 * (std::max(ends, lowest) - lowest) + 0.15 * std::abs(lowest)
                           : std::numeric_limits<double>::infinity();
    y.add(lowest);
    for (double value : heights)
      if (value <= cut) y.add(value);
    const double margin = std::max(0.04 * (y.high - y.low), 1e-6 * std::abs(y.high) + 1e-12);
    y.low -= margin, y.high += margin;
  }
  bool empty() const { return !(x.low < x.high) || !(y.low < y.high); }
  double place(double value) const { return log_x_ ? std::log10(value) : value; }
  double at_x(double value) const { return left + x.part(place(value)) * (width - left - right); }
  double at_y(double value) const { return height - bottom - y.part(value) * (height - top - bottom); }

  Range x, y;

 private:
  bool log_x_;
};

std::string axes(const Plot& plot, const Frame& frame) {
  std::string svg;
  for (double value : ticks(frame.y, 6))
    svg += fmt::format(
        "<path d=\"M{:.1f} {:.1f}H{:.1f}\" stroke=\"#ddd\"/><text x=\"{:.1f}\" y=\"{:.1f}\" "
        "text-anchor=\"end\">{:.6g}</text>\n",
        left, frame.at_y(value), width - right, left - 6, frame.at_y(value) + 4, value);
  for (double value : plot.log_x ? log_ticks(frame.x) : ticks(frame.x, 6))
    svg += fmt::format(
        "<path d=\"M{0:.1f} {1:.1f}v4\" stroke=\"#777\"/><text x=\"{0:.1f}\" y=\"{2:.1f}\" "
        "text-anchor=\"middle\">{3:.6g}</text>\n",
        frame.at_x(value), height - bottom, height - bottom + 17, value);
  svg += fmt::format("<path d=\"M{0:.1f} {1:.1f}V{2:.1f}H{3:.1f}\" fill=\"none\" stroke=\"#777\"/>\n", left, top,
                     height - bottom, width - right);
  svg += fmt::format("<text x=\"{:.1f}\" y=\"20\" font-weight=\"bold\">{}</text>\n", left, escaped(plot.title));
  svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", (left + width - right) / 2,
                     height - 10, escaped(plot.x_label));
  svg += fmt::format(
      "<text x=\"14\" y=\"{0:.1f}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {0:.1f})\">{1}</text>\n",
      (top + height - bottom) / 2, escaped(plot.y_label));
  return svg;
}

// Returns the attribute that dashes a line. Each style serves ten color numbers in turn.
const char* dashes(size_t number) {
  static const char* const styles[] = {"", " stroke-dasharray=\"6 3\"", " stroke-dasharray=\"2 2\"",
                                       " stroke-dasharray=\"8 3 2 3\""};
  return styles[number / 10 % 4];
}

// Draws the points as crosses if `series.marks`, otherwise as a line. A line with 1200 points or more is thinned. On a
// line with at most 24 points, each point is also drawn as a dot.
std::string curve(const PlotSeries& series, const Frame& frame, bool log_x) {
  const std::string color = series_color(series.color);
  std::vector<std::pair<double, double>> points;
  for (const auto& point : series.points)
    if (drawable(point, log_x) && point.second <= frame.y.high) points.push_back(point);
  if (series.marks) {
    std::string svg;
    for (const auto& [x, y] : points)
      svg += fmt::format("<path d=\"M{:.1f} {:.1f}m-4 -4l8 8m0 -8l-8 8\" stroke=\"{}\" stroke-width=\"2\"/>\n",
                         frame.at_x(x), frame.at_y(y), color);
    return svg;
  }
  const size_t every = std::max<size_t>(1, points.size() / 600);
  std::string path;
  for (size_t i = 0; i < points.size(); ++i) {
    if (i % every && i + 1 < points.size()) continue;
    path += fmt::format("{:.1f},{:.1f} ", frame.at_x(points[i].first), frame.at_y(points[i].second));
  }
  std::string svg = fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"{}/>\n", path,
                                color, dashes(series.color));
  if (points.size() <= 24)
    for (const auto& [x, y] : points)
      svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\" fill=\"{}\"/>\n", frame.at_x(x), frame.at_y(y),
                         color);
  return svg;
}

}  // namespace

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
        break;
    }
  }
  return out;
}

// Colors from Paul Tol's color-blind safe schemes, and a gray.
std::string series_color(size_t number) {
  static const char* const colors[] = {"#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee",
                                       "#aa3377", "#ee7733", "#009988", "#882255", "#777777"};
  return colors[number % 10];
}

std::string plot_svg(const Plot& plot) {
  const Frame frame(plot);
  if (frame.empty()) return "";
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
      width, height);
  svg += axes(plot, frame);
  for (const PlotSeries& series : plot.series) svg += curve(series, frame, plot.log_x);
  double at = top + 8;
  for (const PlotSeries& series : plot.series) {
    if (series.label.empty()) continue;
    const double x = width - right + 14;
    if (series.marks)
      svg += fmt::format("<path d=\"M{:.1f} {:.1f}m-4 -4l8 8m0 -8l-8 8\" stroke=\"{}\" stroke-width=\"2\"/>", x + 9,
                         at - 4, series_color(series.color));
    else
      svg += fmt::format("<path d=\"M{:.1f} {:.1f}h18\" stroke=\"{}\" stroke-width=\"2\"{}/>", x, at - 4,
                         series_color(series.color), dashes(series.color));
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", x + 24, at, escaped(series.label));
    at += 16;
  }
  return svg + "</svg>\n";
}

}  // namespace rowan
