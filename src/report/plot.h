// Line plots as SVG that needs nothing else.
#pragma once

#include <string>
#include <vector>

namespace rowan {

struct PlotSeries {
  std::string label;                              // in the legend, once; "": not there
  size_t color = 0;                               // any number; series of the same have the same colour
  bool marks = false;                             // points without a line
  std::vector<std::pair<double, double>> points;  // those that are not finite are left out
};

struct Plot {
  std::string title, x_label, y_label;
  bool log_x = false;
  std::vector<PlotSeries> series;
};

// Text for HTML and SVG: & < > and quotes escaped.
std::string escaped(const std::string& text);

// "" when there is nothing to draw. The vertical range leaves out the first part of long curves where it would hide
// how their ends differ.
std::string plot_svg(const Plot& plot);

// The colour of a series, "#rrggbb".
std::string series_color(size_t number);

}  // namespace rowan
