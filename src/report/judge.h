// Compares groups of runs with each other and with published figures.
#pragma once

#include "report/results.h"
#include "report/statistics.h"
#include "report/table.h"
#include "report/targets.h"

namespace rowan {

// The runs that have the same labels.
struct ResultGroup {
  std::vector<std::string> labels;
  std::vector<const ResultRun*> runs;   // all runs of the group
  std::optional<double> best;           // tuned value with the lowest final loss
  double lowest = 0, highest = 0;       // range of tuned values tried
  std::vector<const ResultRun*> taken;  // finished runs at the best value
  Spread loss;                          // final losses of the runs in `taken`
  std::optional<Target> target;

  const ResultRun* with_seed(std::optional<int64_t> seed) const;
};

// Groups the runs by their labels, in the order of the set. `best` is chosen among runs that have the seed of the
// group's first run.
std::vector<ResultGroup> make_groups(const ResultSet& set);

// Mean and deviation of the loss differences between two groups, over pairs of runs with the same seed.
Spread paired_difference(const ResultSet& set, const ResultGroup& group, const ResultGroup& other);

// The step and tokens at which a run's curve first reaches a loss, interpolated linearly between points; nothing if the
// curve never does.
std::optional<ResultPoint> reaches(const ResultRun& run, const std::string& metric, double loss);

// One row per group. Groups that differ only on the last axis are sorted by loss, and notes compare this order with the
// published one. Columns of wall-clock times are included only with `times`, because they differ between repeated runs.
Table judge(const ResultSet& set, bool times = false);

}  // namespace rowan
