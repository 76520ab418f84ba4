// A sweep file: a base config and axes to vary. configs/README.md describes the keys of a sweep file.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "train/config.h"

namespace rowan {

struct AxisValue {
  std::string label;
  std::string config;  // config file that replaces the base; "": the base itself
  std::vector<Edit> settings;
};

struct Axis {
  std::string name;
  std::vector<AxisValue> values;
};

// A number, such as the learning rate, that is tuned in every cell. Tables of the sweep show each cell's result at the
// cell's best value.
struct Tuning {
  std::vector<std::string> paths;  // config paths; all get the same value
  std::vector<double> values;      // values to try, ascending
  bool factors = false;            // true: `values` are multiples of the config's value at paths[0]
  double extend = 0;     // factor between an edge of the grid and a value added beyond it; 0: the grid is fixed
  double farthest = 64;  // largest factor between an added value and the nearest end of the first grid
};

struct Resources {
  int64_t jobs = 0;                            // runs at once; 0: as many as fit on GPUs or cores
  int64_t threads = 1;                         // CPU threads of each rank
  int64_t ranks = 1;                           // ranks of a run
  std::string launcher = "mpirun -n {ranks}";  // prefix of the command if a run has several ranks
};

// One combination of the axes' labels.
struct Cell {
  std::vector<std::string> labels;  // one label per axis
  std::string config;
  std::vector<Edit> settings;
  double own = 0;      // the config's value at Tuning::paths[0] if Tuning::factors is set; else unused
  bool chosen = true;  // false: --only leaves the cell's runs out; the tables still show them
};

struct SweepConfig {
  std::string file;
  std::filesystem::path dir;  // folder of everything that the sweep writes
  // The places in the file of "dir", the tuned values and the seeds, for messages about the configs of runs.
  std::string dir_at, tune_at, seeds_at;
  std::vector<Axis> axes;
  std::optional<Tuning> tuning;
  std::vector<int64_t> seeds;  // seeds of the runs; empty: the config's own seed
  std::string metric;          // name of a loss in metrics.jsonl; lower is better
  Json targets;                // result of load_targets(); null if there are no targets
  std::string against;         // label of the cells with which the other cells are compared; "": none
  std::optional<double> loss;  // if set: compare the tokens that runs need to reach this loss
  Resources resources;
  int64_t retries = 1;           // retries of a failed run
  bool keep_checkpoints = true;  // false: delete the checkpoints of finished runs
  std::vector<Cell> cells;       // in the order of the axes; the last axis varies fastest
  // The texts of config files that have been read, by path. All runs use the text of the first reading, so a file that
  // is edited while the sweep runs changes no later run. Copies share them.
  std::shared_ptr<std::map<std::string, std::string>> texts = std::make_shared<std::map<std::string, std::string>>();
};

// Reads a sweep file and applies the edits of --set. Throws Error for an invalid sweep. With `needs_data`, also throws
// Error if data, a tokenizer's file or initial weights are missing. Listing the runs, or writing a Slurm script, does
// not need these files.
SweepConfig load_sweep(const std::string& path, const std::vector<Edit>& edits, bool needs_data = true);

// `text` with `by` in place of every `mark`.
std::string replaced(std::string text, std::string_view mark, std::string_view by);

// Chooses the cells that have one of these labels. Throws Error for a label that no cell has.
void choose_cells(SweepConfig& sweep, const std::vector<std::string>& labels);
// The index of the first chosen cell. At least one cell must be chosen.
size_t first_chosen(const SweepConfig& sweep);

}  // namespace rowan
