// The results of runs, read from their folders. judge() and html_report() take them as input.
#pragma once

#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "optim/config.h"

namespace rowan {

struct ResultPoint {
  double step = 0, tokens = 0, loss = 0;  // `tokens` counts from step 0; NaN if unknown
};

struct ResultRun {
  std::string name;
  std::vector<std::string> labels;  // one label per axis
  std::optional<double> tuned;
  std::optional<int64_t> seed;       // in a sweep: only if the sweep's `seeds` set it
  std::string config_file;           // config file that the run was started from; "" if unknown
  Json config;                       // config.json of the run's folder; null if the run has not begun
  std::vector<std::string> changes;  // config changes when the run continued, as by changes_on_the_way()
  bool diverged = false;  // the newest validation loss is not finite, or the sweep noted that the run diverged
  int64_t steps = 0, planned = 0;
  std::optional<int64_t> ended;  // the step at which run.patience ended the run
  double tokens = std::numeric_limits<double>::quiet_NaN(), seconds = std::numeric_limits<double>::quiet_NaN();
  double train_loss = std::numeric_limits<double>::quiet_NaN();  // mean logged loss of the last tenth of the steps
  std::vector<ResultPoint> training;                             // finite training losses as logged
  // Finite validation losses by metric, since the newest start that evaluates otherwise than the start before it.
  std::map<std::string, std::vector<ResultPoint>> validation;
  std::map<std::string, std::vector<ResultPoint>> telemetry;  // optimizer telemetry by metric name

  int64_t last_step() const { return ended.value_or(planned); }
  // Infinity if the run diverged, else the validation loss at last_step(); nothing if that loss is missing.
  std::optional<double> final_loss(const std::string& metric) const;
};

struct ResultSet {
  std::vector<std::string> axes;
  std::string tuned;  // last part of the tuned config path; "" if nothing is tuned
  std::string metric = "val_loss";
  std::string against;
  std::optional<double> loss;  // if set: compare the tokens that runs need to reach this loss
  Json targets = Json::array();
  std::vector<ResultRun> runs;
};

// "PATH (VALUE, VALUE)" if the runs' configs differ at a path, else "". `absent` is the value of a config that lacks
// the path; nullptr: unknown, and such a config does not differ.
std::string difference_in(const std::vector<const ResultRun*>& runs, const std::string& path,
                          const char* absent = nullptr);

// The peak rates of the run's recipe and of AdamW, from its config. No rate of AdamW if no parameter has it.
// A config that this version refuses gives the rates that it names.
Rates rates_of(const ResultRun& run);

// Notes for a reader of the results: which runs were continued under another config or ended by run.patience, whether
// the runs have different tokenizers or precisions, and whether they were evaluated differently. Losses per token of
// different tokenizers cannot be compared, nor can losses on different text, or with other lengths of context.
std::vector<std::string> notes_on(const ResultSet& set);

// Reads a run's folder as written by `rowan train`. Throws Error for a folder without a run.
ResultRun read_run(const std::filesystem::path& folder);

// Reads what `rowan sweep` has written to its folder so far.
ResultSet read_sweep(const std::filesystem::path& dir);
// Whether the folder is that of a sweep.
bool is_sweep(const std::filesystem::path& dir);

// Reads runs. The labels of a run are its config values at the paths `by`. Throws Error for a path that no config has,
// and for a folder that is given twice, under one name or two.
ResultSet read_runs(const std::vector<std::string>& folders, const std::vector<std::string>& by);

}  // namespace rowan
