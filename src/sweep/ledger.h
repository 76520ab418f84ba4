// The outcomes of a sweep's runs, read from the folders of the runs. A separate file marks each run that diverged.
//
//   DIR/configs/NAME.json   the config of a run, for `rowan train`; written before the run is started
//   DIR/NAME/               the run's folder
//   DIR/logs/NAME.log       the run's output
//   DIR/failed/NAME.log     the log of a failed run; removed when the run succeeds
//   DIR/diverged/NAME.json  marks a diverged run, which counts as worse than any other and is not repeated
//   DIR/sweep.json          the information that `rowan compare` and `rowan report` need
#pragma once

#include <map>
#include <string>

#include "sweep/tuning.h"

namespace rowan {

class Ledger {
 public:
  explicit Ledger(const SweepConfig& sweep) : sweep_(sweep) {}

  // Reads a run's folder and DIR/diverged/NAME.json on the first call and after forget(). A run is finished if it has a
  // final loss and loss.svg, the last file that it writes. An unfinished run whose log.txt ends with the message of a
  // diverged run has diverged; under Slurm, no sweep watches how a run ends. `exited` means that the run has just
  // exited with code 0. Such a run needs no loss.svg, because a run that cannot write this file still succeeds. Throws
  // Error if the run finished or diverged with another config.
  RunOutcome outcome(const SweepRun& run, bool exited = false);
  void forget(const std::string& name) { known_.erase(name); }
  // Records a failure for this process only; a later process tries the run again.
  void failed(const std::string& name) { known_[name] = {RunOutcome::State::failed, 0}; }
  void diverged(const SweepRun& run, const std::string& message);

  std::filesystem::path mark(const std::string& name) const { return sweep_.dir / "diverged" / (name + ".json"); }
  std::filesystem::path log(const std::string& name) const { return sweep_.dir / "logs" / (name + ".log"); }
  std::filesystem::path failed_log(const std::string& name) const { return sweep_.dir / "failed" / (name + ".log"); }
  std::filesystem::path config(const std::string& name) const { return sweep_.dir / "configs" / (name + ".json"); }

  // Creates the folders DIR/diverged, DIR/configs, DIR/logs and DIR/failed.
  void prepare() const;
  void write_config(const SweepRun& run) const;
  // Marks the runs that diverged without a mark. Writes DIR/sweep.json for the runs of all cells that are known now.
  void write_index();

 private:
  RunOutcome read(const SweepRun& run, bool exited) const;

  const SweepConfig& sweep_;
  std::map<std::string, RunOutcome> known_;
};

}  // namespace rowan
