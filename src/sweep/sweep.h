// Runs all runs of a sweep.
#pragma once

#include <string>
#include <vector>

#include "sweep/sweep_file.h"

namespace rowan {

struct SweepEnd {
  int signal = 0;                   // signal that stopped the sweep early; the same command continues it
  std::vector<std::string> failed;  // "NAME: REASON" of each failed run
};

// Runs all unfinished runs on the slots of this machine, each as a process of `program`. Finished runs are skipped, and
// interrupted ones are continued. Throws Error if another sweep is running in the folder.
SweepEnd run_sweep(const SweepConfig& sweep, const std::string& program);

// Writes the config of every unfinished run. Returns a script for sbatch: an array job with one task per unfinished
// run.
std::string slurm_script(const SweepConfig& sweep, const std::string& program);

// One line per known run: its name, its number of steps, and its loss or state. A last line counts the runs.
std::string list_runs(const SweepConfig& sweep);

}  // namespace rowan
