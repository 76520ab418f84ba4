// The judge: what a set of runs says, with what certainty, and how that compares with what was published.
#pragma once

#include "report/results.h"
#include "report/statistics.h"
#include "report/table.h"
#include "report/targets.h"

namespace rowan {

// The runs of one combination of labels.
struct ResultGroup {
  std::vector<std::string> labels;
  std::vector<const ResultRun*> runs;   // all of them
  std::optional<double> best;           // the tuned value of the lowest final loss
  double lowest = 0, highest = 0;       // tuned values tried
  std::vector<const ResultRun*> taken;  // runs at the best value that are through, by seed
  Spread loss;                          // of those
  std::optional<Target> target;

  const ResultRun* with_seed(std::optional<int64_t> seed) const;
};

// In the order of the set; a group's best value is that of its first seed.
std::vector<ResultGroup> make_groups(const ResultSet& set);

// Of one group against another: differences of the runs of the same seed.
Spread paired_difference(const ResultSet& set, const ResultGroup& group, const ResultGroup& other);

// The step and the tokens at which a run's curve first reaches a loss, between points by a straight line.
std::optional<ResultPoint> reaches(const ResultRun& run, const std::string& metric, double loss);

// A row a group. The last axis is sorted by loss; the notes say what the order is worth. What clocks decide is left
// out unless `times`, so the table of the same runs is the same.
Table judge(const ResultSet& set, bool times = false);

}  // namespace rowan
