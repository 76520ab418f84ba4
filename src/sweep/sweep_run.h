// SweepRun: one run of a sweep, its name and its config.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>

#include "base/error.h"
#include "sweep/sweep_file.h"

namespace rowan {

struct SweepRun {
  size_t cell = 0;
  std::optional<double> tuned;
  std::optional<int64_t> seed;
  std::string name;  // name of the run's folder in SweepConfig::dir
};

// Rounds a tuned value to the digits that the name of a run shows.
double rounded_value(double value);

// With several seeds, the name ends with the seed, unless the folder of the other name holds this seed's run: the sweep
// was begun with one seed, and seeds were added. With one seed it is the reverse, because seeds may have been removed.
SweepRun make_run(const SweepConfig& sweep, size_t cell, std::optional<double> tuned, std::optional<int64_t> seed);

// The config of a run, checked as by `rowan train`. The message of an Error names the sweep file, and either the place
// in this file or the labels of the run.
TrainConfig config_of(const SweepConfig& sweep, const SweepRun& run);

// Runs `work`. If `work` throws an Error whose message does not begin with the name of the sweep file, puts this name
// and the cell's labels, if any, before the message. The mistake may be in the base, or in the combination of the base
// and an axis.
template <typename Work>
auto in_cell(const SweepConfig& sweep, const Cell& cell, Work work) {
  try {
    return work();
  } catch (const Error& error) {
    const std::string what = error.what();
    if (what.starts_with(sweep.file + ":")) throw;
    if (cell.labels.empty()) fail("{}: base: {}", sweep.file, what);
    fail("{}: the runs of ({}): {}", sweep.file, fmt::join(cell.labels, ", "), what);
  }
}

}  // namespace rowan
