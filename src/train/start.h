// Where a run begins. Its folder gets an owner, and what lies there is gone on from, refused with the difference named,
// or set aside into RUN/earlier-N; it is never emptied.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "run/metrics.h"
#include "run/run_lock.h"
#include "train/config.h"

namespace rowan {

struct StartOptions {
  bool resume = false;          // there has to be a checkpoint, and the config may be another
  std::optional<int64_t> from;  // the step of the checkpoint to go back to; the config may be another
  std::string profile = {};     // a trace of the first steps is written there; "": none
};

class RunStart {
 public:
  // Looks and changes nothing but what a dead process left unfinished. Throws Error naming what is in the way: another
  // process, another config, files that are no run's.
  RunStart(const TrainConfig& config, const StartOptions& options, const Note& note);

  // To go on from, if any.
  const std::optional<std::filesystem::path>& checkpoint() const { return checkpoint_; }

  // Makes the folder, sets aside what the new start would replace, writes config.json and appends to starts.jsonl a
  // record of this start: `facts`, time, machine, command, and what the config changes against the last start.
  void begin(Json facts);

  // Throws Error when another process has taken the run.
  void check_owner() const { lock_->check(); }

 private:
  void look();
  void lock();
  void set_aside();

  const TrainConfig& config_;
  StartOptions options_;
  Note note_;
  std::filesystem::path dir_;
  std::unique_ptr<RunLock> lock_;
  std::optional<std::filesystem::path> checkpoint_;
  std::optional<Json> before_;  // the config of the last start, resolved
};

// What rowan train's records hold, oldest first; a torn one is left out.
std::vector<Json> read_starts(const std::filesystem::path& run_dir);

}  // namespace rowan
