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
  double lowest = 0, highest = 0;       // range of the tuned values of `runs`
  std::vector<const ResultRun*> taken;  // finished runs with the tuned value `best`; without tuning, all finished runs
  Spread loss;                          // final losses of the runs in `taken`
  std::optional<Target> target;

  // The run in `taken` with this seed; nullptr if there is none, or more than one.
  const ResultRun* with_seed(std::optional<int64_t> seed) const;
};

// Groups the runs by their labels, in the order of set.runs. A group's `best` is chosen among the runs that have the
// seed of the group's first run.
std::vector<ResultGroup> make_groups(const ResultSet& set);

// Mean and deviation of the difference in final loss, `group` minus `other`, over pairs of `taken` runs with the same
// seed. A seed of which a group has several runs is left out, since these are not independent. Differences that are not
// finite are left out.
Spread paired_difference(const ResultSet& set, const ResultGroup& group, const ResultGroup& other);

// The step and the number of tokens at which a run's validation curve first reaches a loss, interpolated linearly
// between points; nothing if the curve does not reach this loss.
std::optional<ResultPoint> reaches(const ResultRun& run, const std::string& metric, double loss);

// One row per group. Groups that differ only on the last axis are sorted by loss. If the set has targets, notes compare
// this order with the published one. Other notes name settings of training in which such groups differ. The column of
// wall-clock times is included only with `times`, because times differ between repeated runs.
Table judge(const ResultSet& set, bool times = false);

}  // namespace rowan
