// A report on a set of runs: one HTML file that opens without a network.
#pragma once

#include <string>

#include "report/results.h"

namespace rowan {

// The judge's table, curves with published points over them, loss against what was tuned, the figures of the papers'
// plots (optimizer.telemetry_every), times, and where the configs differ.
std::string html_report(const ResultSet& set, const std::string& title);

}  // namespace rowan
