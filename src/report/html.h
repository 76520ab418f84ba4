// A report on a set of runs: one HTML file that needs no network.
#pragma once

#include <string>

#include "report/results.h"

namespace rowan {

// The page contains the table of judge(), loss curves with published points, final loss against the tuned value, the
// optimizers' telemetry (optimizer.telemetry_every), times, and config differences.
std::string html_report(const ResultSet& set, const std::string& title);

}  // namespace rowan
