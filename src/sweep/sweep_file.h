// A sweep file: a base config and axes to vary. configs/README.md describes its keys.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "train/config.h"

namespace rowan {

struct Setting {
  std::string path;  // dotted path in a config
  Json value;
};

struct AxisValue {
  std::string label;
  std::string config;  // config file that replaces the base; "": the base itself
  std::vector<Setting> settings;
};

struct Axis {
  std::string name;
  std::vector<AxisValue> values;
};

// The learning rate, or another number, that is tuned in every cell: the best value is used, and the others do not
// appear in the table.
struct Tuning {
  std::vector<std::string> paths;  // paths that all get the same value
  std::vector<double> values;      // ascending; for factors, multiples of the cell's own value of the first path
  bool factors = false;
  double extend = 0;     // factor of the next value while the best is at an edge; 0: fixed grid
  double farthest = 64;  // largest factor beyond the ends of the first grid
};

struct Resources {
  int64_t jobs = 0;                            // runs at once; 0: as many as fit on GPUs or cores
  int64_t threads = 1;                         // threads of a rank on CPU cores
  int64_t ranks = 1;                           // ranks of a run
  std::string launcher = "mpirun -n {ranks}";  // prefix of the command if a run has several ranks
};

// One combination of the axes' labels.
struct Cell {
  std::vector<std::string> labels;  // one label per axis
  std::string config;
  std::vector<Setting> settings;
  double own = 0;  // the config's own value, which factors multiply
};

struct SweepConfig {
  std::string file;
  std::filesystem::path dir;  // folder of everything that the sweep writes
  std::vector<Axis> axes;
  std::optional<Tuning> tuning;
  std::vector<int64_t> seeds;  // empty: the config's own seed
  std::string metric;          // metric of validation rows; lower is better
  Json targets;                // contents of the targets file; null without one
  std::string against;         // label of the cells that others are compared with; "": none
  std::optional<double> loss;  // the loss at which tokens and time are compared
  Resources resources;
  int64_t retries = 1;           // retries of a failed run
  bool keep_checkpoints = true;  // false: delete the checkpoints of finished runs
  std::vector<Cell> cells;       // in the order of the axes; the last axis varies fastest
};

// One training run of a sweep.
struct SweepRun {
  size_t cell = 0;
  std::optional<double> tuned;
  std::optional<int64_t> seed;
  std::string name;  // name of its folder in SweepConfig::dir
};

// Reads a sweep file and applies --set assignments. Throws Error naming file, line and field. `needs_data`: also Error
// for missing data files; false if the runs are for another machine.
SweepConfig load_sweep(const std::string& path, const std::vector<std::string>& overrides, bool needs_data = true);

// Removes the cells that have none of these labels. Throws Error for a label that no cell has.
void keep_only(SweepConfig& sweep, const std::vector<std::string>& labels);

SweepRun make_run(const SweepConfig& sweep, size_t cell, std::optional<double> tuned, std::optional<int64_t> seed);

// The config of a run, checked as by `rowan train`.
TrainConfig config_of(const SweepConfig& sweep, const SweepRun& run);

}  // namespace rowan
