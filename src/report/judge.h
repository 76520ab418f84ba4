// The judge: what a set of runs shows, with what certainty, and how it compares with published figures.
#pragma once

#include "report/results.h"
#include "report/statistics.h"
#include "report/table.h"
#include "report/targets.h"

namespace rowan {

// The runs that share one combination of labels.
struct ResultGroup {
  std::vector<std::string> labels;
  std::vector<const ResultRun*> runs;   // all runs of the group
  std::optional<double> best;           // the tuned value with the lowest final loss
  double lowest = 0, highest = 0;       // range of tuned values tried
  std::vector<const ResultRun*> taken;  // finished runs at the best value, by seed
  Spread loss;                          // final losses of the taken runs
  std::optional<Target> target;

  const ResultRun* with_seed(std::optional<int64_t> seed) const;
};

// Groups in the order of the set. The best value of a group is that of its first seed.
std::vector<ResultGroup> make_groups(const ResultSet& set);

// The spread of the loss differences between two groups, over pairs of runs with the same seed.
Spread paired_difference(const ResultSet& set, const ResultGroup& group, const ResultGroup& other);

// The step and tokens at which a run's curve first reaches a loss, interpolated linearly between points.
std::optional<ResultPoint> reaches(const ResultRun& run, const std::string& metric, double loss);

// One row per group. The last axis is sorted by loss; notes say how certain the order is. Columns that depend on
// wall-clock time are included only with `times`, so that the same runs give the same table.
Table judge(const ResultSet& set, bool times = false);

}  // namespace rowan
