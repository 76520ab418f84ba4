// Runs a sweep to its end.
#pragma once

#include <string>
#include <vector>

#include "sweep/sweep_file.h"

namespace rowan {

struct SweepEnd {
  int signal = 0;                   // signal that stopped the sweep early; the same command continues it
  std::vector<std::string> failed;  // failed runs, by name, with reasons
};

// Runs all unfinished runs on the slots of this machine, as processes of `program`. Finished runs are skipped and
// interrupted ones continued. Throws Error if another sweep is running in the folder.
SweepEnd run_sweep(const SweepConfig& sweep, const std::string& program);

// Writes the config of every unfinished run and returns a script for sbatch: an array job with one task per such run.
std::string slurm_script(const SweepConfig& sweep, const std::string& program);

// One line per known run: its name, whether it is finished, and its steps.
std::string list_runs(const SweepConfig& sweep);

}  // namespace rowan
