// A report on a set of runs: one HTML file that needs no network.
#pragma once

#include <string>
#include <string_view>

#include "report/results.h"

namespace rowan {

// The begin of every page, by which a later report recognizes a page that it may replace.
inline constexpr std::string_view page_begin = "<!DOCTYPE html>\n<!-- written by rowan report -->\n";

// The page contains the table of judge(), loss curves with published points, times and config differences. If the runs
// have a tuned value, it also plots the final loss against that value. If the runs recorded telemetry
// (optimizer.telemetry_every), it also plots the telemetry.
std::string html_report(const ResultSet& set, const std::string& title);

}  // namespace rowan
