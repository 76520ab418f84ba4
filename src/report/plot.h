// Line plots as self-contained SVG.
#pragma once

#include <string>
#include <vector>

namespace rowan {

struct PlotSeries {
  std::string label;                              // label in the legend, shown once; "": none
  size_t color = 0;                               // colour number; series with the same number share a colour
  bool marks = false;                             // draw points without a line
  std::vector<std::pair<double, double>> points;  // points that are not finite are skipped
};

struct Plot {
  std::string title, x_label, y_label;
  bool log_x = false;
  std::vector<PlotSeries> series;
};

// Escapes & < > and quotes for HTML and SVG.
std::string escaped(const std::string& text);

// Returns "" if there is nothing to draw. The vertical range excludes the start of long curves if it would hide how
// their ends differ.
std::string plot_svg(const Plot& plot);

// The colour "#rrggbb" of a colour number.
std::string series_color(size_t number);

}  // namespace rowan
