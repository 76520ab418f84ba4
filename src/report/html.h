// A report on a set of runs: one HTML file that opens without a network.
#pragma once

#include <string>

#include "report/results.h"

namespace rowan {

// The page contains the judge's table, loss curves with published points, final loss against the tuned value, the
// figures that the papers plot (optimizer.telemetry_every), times, and config differences.
std::string html_report(const ResultSet& set, const std::string& title);

}  // namespace rowan
