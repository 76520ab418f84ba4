// Runs the runs of a sweep, lists them, or writes a Slurm script for them. Leaves out the runs of cells that are not
// chosen.
#pragma once

#include <string>
#include <vector>

#include "sweep/sweep_run.h"

namespace rowan {

struct SweepEnd {
  int signal = 0;                   // signal that stopped the sweep early; 0: none
  std::vector<std::string> failed;  // "NAME: REASON" of each failed run
};

// Runs all unfinished runs with `program` on the slots of this machine. Finished runs are skipped, and interrupted runs
// are continued. Throws Error if another sweep is running in the folder.
SweepEnd run_sweep(const SweepConfig& sweep, const std::string& program);

// Writes the configs of the open runs: those that are known now and have neither finished nor failed. Returns a script
// for sbatch: an array job with one task for each open run. Throws Error if there is none.
std::string slurm_script(const SweepConfig& sweep, const std::string& program);

// One line per known run: its name, its number of steps, and its loss or state. A last line counts the runs.
std::string list_runs(const SweepConfig& sweep);

}  // namespace rowan
