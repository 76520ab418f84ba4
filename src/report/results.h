// What runs came to, read from their folders: what the judge and the report work on.
#pragma once

#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace rowan {

struct ResultPoint {
  double step = 0, tokens = 0, loss = 0;  // tokens since step 0, NaN where they are not known
};

struct ResultRun {
  std::string name;
  std::vector<std::string> labels;  // one for each axis
  std::optional<double> tuned;
  std::optional<int64_t> seed;
  std::string config_file;  // "" where it is not known
  Json config;              // of the run's folder; null when it has not begun
  bool diverged = false;
  int64_t steps = 0, planned = 0;
  double tokens = std::numeric_limits<double>::quiet_NaN(), seconds = std::numeric_limits<double>::quiet_NaN();
  double train_loss = std::numeric_limits<double>::quiet_NaN();  // mean of those logged in the last tenth of the steps
  std::vector<ResultPoint> training;                             // loss as logged
  std::map<std::string, std::vector<ResultPoint>> validation;    // by metric; losses are finite
  std::map<std::string, std::vector<ResultPoint>> telemetry;     // by figure

  // At the last step of a run that is through; infinite when it diverged.
  std::optional<double> final_loss(const std::string& metric) const;
};

struct ResultSet {
  std::vector<std::string> axes;
  std::string tuned;  // what is tuned: the path's last part; "" when nothing is
  std::string metric = "val_loss";
  std::string against;
  std::optional<double> loss;  // whose tokens are compared
  Json targets = Json::array();
  std::vector<ResultRun> runs;
};

// What a run's optimizer is and its two rates: the recipe's, and that of the AdamW for the rest where there is one.
struct Rates {
  std::string recipe;
  double main = 0;
  std::optional<double> adamw;
};
Rates rates_of(const ResultRun& run);

// A run's folder as `rowan train` leaves it. Throws Error when it is none.
ResultRun read_run(const std::filesystem::path& folder);

// What `rowan sweep` has made in its folder so far.
ResultSet read_sweep(const std::filesystem::path& dir);
bool is_sweep(const std::filesystem::path& dir);

// Runs whose labels are their configs' values at the paths `by`.
ResultSet read_runs(const std::vector<std::string>& folders, const std::vector<std::string>& by);

}  // namespace rowan
