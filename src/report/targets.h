// Published figures (configs/papers/PAPER/targets.json), and the runs to which they belong.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "data/data_config.h"

namespace rowan {

// The names of the losses in metrics.jsonl that published figures can be compared with.
const std::vector<std::string>& loss_metrics();

// Throws Error "PLACE: ..." if `metric` is not one of loss_metrics(), or if a run with this data does not produce it.
void check_metric(const std::string& metric, const DataConfig& data, const std::string& place);

struct Target {
  std::string config;               // config file of the run that the figure belongs to
  Json set;                         // maps config paths to the run's values at these paths; may be empty
  std::string metric;               // the name in metrics.jsonl of the loss to compare
  std::string unit;                 // perplexity or nats
  double value = 0;                 // published value, in `unit`
  int64_t step = 0;                 // step after which the value was measured
  int64_t seeds = 0;                // number of seeds averaged; 0: not stated
  std::optional<double> deviation;  // standard deviation over the seeds, in `unit`
  int64_t batches = 0;              // n, if the authors divide a sum over n batches by n + 1; else 0
  std::string source;
  std::string confidence;  // printed: by the authors; plotted: read off a plot; reported: by others

  double loss() const;  // `value` in nats
  // The mean loss over n = `batches` batches: loss() * (n + 1) / n, because the authors divide by n + 1. Equal to
  // loss() if `batches` is 0.
  double loss_of_batch_mean() const;
};

// Reads the list "targets" of a targets.json. In the file, the paths of configs are relative to the file's folder; the
// returned paths include this folder. The list "elsewhere" holds figures of setups that no config reproduces; it is
// checked but not returned. Throws Error for an invalid file, and for two results of one setup that differ.
Json load_targets(const std::string& path);

// Parses one item of load_targets().
Target parse_target(const Json& item);

// The list "targets" of a sweep.json, which has the form that load_targets() returns. Throws Error for another.
Json read_targets(JsonObject& sweep);

// Whether a target names this config file: the paths are the same, or lead to the same file.
bool is_config_of(const Json& target, const std::string& config_file);

// Finds the target of a run. A target fits if it names the run's config file and the run's config has every value of
// the target's `set`. If several targets fit, those with the most values in `set` are preferred. Among these, the
// target whose step is the config's run.steps is chosen. If no target has this step, the target with the largest step
// is chosen. Returns nothing if no target fits.
std::optional<Target> target_of(const Json& targets, const std::string& config_file, const Json& config);

// The published loss for the metric; nothing if the target has another metric. val_loss_batch_mean is also computed
// from a val_loss_galore target.
std::optional<double> published_loss(const Target& target, const std::string& metric);

}  // namespace rowan
