// Published figures: configs/papers/PAPER/targets.json, and how they compare with ours.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "data/data_config.h"

namespace rowan {

// The losses that a run leaves in metrics.jsonl and that figures can be held against.
const std::vector<std::string>& loss_metrics();

// Throws Error "PLACE: ..." when there is no such metric, or when a run with this data does not have it.
void check_metric(const std::string& metric, const DataConfig& data, const std::string& place);

struct Target {
  std::string config;               // the file of the run that has the figure
  Json set;                         // object: path of a config to the value that the run has there; may be empty
  std::string metric;               // which of our figures is the same quantity
  std::string unit;                 // perplexity, or nats
  double value = 0;                 // as printed
  int64_t step = 0;                 // after which it was measured
  int64_t seeds = 0;                // that it is a mean of; 0: not said
  std::optional<double> deviation;  // over those seeds, in the unit
  int64_t batches = 0;              // n of a figure with n + 1, else 0
  std::string source;
  std::string confidence;  // printed: by the authors; plotted: read off their plot; reported: by others

  double loss() const;  // nats
  // The same without n + 1: what the mean of the batch means was.
  double loss_of_batch_mean() const;
};

// The list "targets" of such a file, with configs made relative to the working directory. Its list "elsewhere" has what
// others measured in set-ups that no config repeats: it is checked, and for people. Throws Error naming file, line and
// field.
Json load_targets(const std::string& path);

// From one item of load_targets().
Target parse_target(const Json& item);

// The target of a run: that of its config file whose settings the run's config has; where there are several, the one
// with most settings, then the one at the run's last step, then the latest. Nothing where there is none.
std::optional<Target> target_of(const Json& targets, const std::string& config_file, const Json& config);

// What the published run has for the metric; nothing where the two are different quantities.
std::optional<double> published_loss(const Target& target, const std::string& metric);

}  // namespace rowan
