// A sweep: runs of a base config over axes, as one JSON file says. See configs/README.md for its keys.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "train/config.h"

namespace rowan {

struct Setting {
  std::string path;  // of a config, dotted
  Json value;
};

struct AxisValue {
  std::string label;
  std::string config;  // the file in place of the base; "": the base
  std::vector<Setting> settings;
};

struct Axis {
  std::string name;
  std::vector<AxisValue> values;
};

// The rate, or another number, that is tuned in every cell: the best value is taken, and the others are left out of the
// table.
struct Tuning {
  std::vector<std::string> paths;  // all get the same value
  std::vector<double> values;      // ascending; of factors, multiples of the cell's own value of the first path
  bool factors = false;
  double extend = 0;     // factor by which the grid grows while the best value is at an edge; 0: it does not
  double farthest = 64;  // factor beyond the first grid's ends where growing stops
};

struct Resources {
  int64_t jobs = 0;                            // runs at once; 0: as many as GPUs or cores hold
  int64_t threads = 1;                         // of a rank on CPU cores
  int64_t ranks = 1;                           // of a run
  std::string launcher = "mpirun -n {ranks}";  // before the command where a run has several ranks
};

// A point of the axes.
struct Cell {
  std::vector<std::string> labels;  // one for each axis
  std::string config;
  std::vector<Setting> settings;
  double own = 0;  // the tuned value that the config has by itself, for factors
};

struct SweepConfig {
  std::string file;
  std::filesystem::path dir;  // of everything that the sweep makes
  std::vector<Axis> axes;
  std::optional<Tuning> tuning;
  std::vector<int64_t> seeds;  // empty: the config's own
  std::string metric;          // of validation rows, the lower the better
  Json targets;                // what the file of targets says; null without one
  std::string against;         // label of the cells with which the others are paired; "": none
  std::optional<double> loss;  // the loss whose tokens and time are compared
  Resources resources;
  int64_t retries = 1;           // of a run that fails
  bool keep_checkpoints = true;  // of runs that are through
  std::vector<Cell> cells;       // in the order of the axes, the last the fastest
};

// One training run of a sweep.
struct SweepRun {
  size_t cell = 0;
  std::optional<double> tuned;
  std::optional<int64_t> seed;
  std::string name;  // of its folder in SweepConfig::dir
};

// Reads a sweep file with --set assignments applied. Throws Error naming file, line and field; for the files of its
// data too unless they are for another machine.
SweepConfig load_sweep(const std::string& path, const std::vector<std::string>& overrides, bool needs_data = true);

// Leaves out the cells that have none of these labels. Throws Error for a label that no cell has.
void keep_only(SweepConfig& sweep, const std::vector<std::string>& labels);

SweepRun make_run(const SweepConfig& sweep, size_t cell, std::optional<double> tuned, std::optional<int64_t> seed);

// The config of a run, checked as `rowan train` checks it.
TrainConfig config_of(const SweepConfig& sweep, const SweepRun& run);

}  // namespace rowan
