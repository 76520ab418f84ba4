// Running a sweep to its end.
#pragma once

#include <string>
#include <vector>

#include "sweep/sweep_file.h"

namespace rowan {

struct SweepEnd {
  int signal = 0;                   // that asked it to stop before all was through; the same command goes on
  std::vector<std::string> failed;  // names of the runs that failed, each with its reason
};

// Runs what is open on the slots of this machine, as processes of `program`; what is through is skipped, what was
// interrupted goes on. Throws Error when another sweep is at work in the folder.
SweepEnd run_sweep(const SweepConfig& sweep, const std::string& program);

// A script for sbatch: an array of the runs that are open now, one task each. Writes their configs.
std::string slurm_script(const SweepConfig& sweep, const std::string& program);

// A line a run known now: its name, whether it is through, its steps.
std::string list_runs(const SweepConfig& sweep);

}  // namespace rowan
