// Line plots as self-contained SVG.
#pragma once

#include <string>
#include <vector>

namespace rowan {

struct PlotSeries {
  std::string label;                              // label in the legend; "": no entry
  size_t color = 0;                               // color number; series with the same number share a color
  bool marks = false;                             // true: draw the points as crosses, without a line
  std::vector<std::pair<double, double>> points;  // x and y; points that are not finite are skipped
};

struct Plot {
  std::string title, x_label, y_label;
  bool log_x = false;
  std::vector<PlotSeries> series;
};

// Escapes &, <, > and " for HTML and SVG.
std::string escaped(const std::string& text);

// Returns "" if fewer than two different x values can be drawn. The vertical range may exclude the high values at the
// start of curves, because including them would make differences at the ends of the curves too small to see.
std::string plot_svg(const Plot& plot);

// The color "#rrggbb" of a color number. Colors repeat after ten numbers. Lines of one color differ in their dashes, up
// to 40 numbers.
std::string series_color(size_t number);

}  // namespace rowan
