// What the runs of a sweep have come to, as their folders say: it needs no memory of its own but for runs that
// diverged.
//
//   DIR/configs/NAME.json   the config of each run, as `rowan train` can repeat it
//   DIR/NAME/               its folder
//   DIR/logs/NAME.log       what it printed
//   DIR/failed/NAME.log     the log of a run that failed, until it succeeds
//   DIR/diverged/NAME.json  that a run diverged: it counts as worse than every other and is not repeated
//   DIR/sweep.json          what `rowan compare` and `rowan report` have to know
#pragma once

#include <map>
#include <string>

#include "sweep/tuning.h"

namespace rowan {

class Ledger {
 public:
  explicit Ledger(const SweepConfig& sweep) : sweep_(sweep) {}

  // Reads a run's folder when it is asked for the first time and after forget(). Throws Error when the folder holds a
  // finished run of another config.
  RunOutcome outcome(const SweepRun& run);
  void forget(const std::string& name) { known_.erase(name); }
  // For this process only: a later one tries again.
  void failed(const std::string& name) { known_[name] = {RunOutcome::State::failed, 0}; }
  void diverged(const SweepRun& run, const std::string& message);

  std::filesystem::path log(const std::string& name) const { return sweep_.dir / "logs" / (name + ".log"); }
  std::filesystem::path failed_log(const std::string& name) const { return sweep_.dir / "failed" / (name + ".log"); }
  std::filesystem::path config(const std::string& name) const { return sweep_.dir / "configs" / (name + ".json"); }

  // Makes the folders.
  void prepare() const;
  void write_config(const SweepRun& run) const;
  // DIR/sweep.json of the runs known now.
  void write_index();

 private:
  RunOutcome read(const SweepRun& run) const;

  const SweepConfig& sweep_;
  std::map<std::string, RunOutcome> known_;
};

}  // namespace rowan
