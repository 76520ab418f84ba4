// The start of a run. It locks the run's folder. An earlier run in the folder is continued, is refused with an Error
// that names the difference in config, or has its files moved into RUN/earlier-N. The folder is never emptied.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "base/folder_lock.h"
#include "run/metrics.h"
#include "train/config.h"

namespace rowan {

struct StartOptions {
  bool resume = false;          // fail unless there is a checkpoint to resume; the config may differ
  std::optional<int64_t> from;  // go back to the checkpoint of this step; the config may differ
  std::string profile = {};     // file for a trace of the first steps; "": none
};

class RunStart {
 public:
  // Locks and inspects the folder. Removes only checkpoints that a killed process left unfinished. Throws Error when
  // the run cannot start there: another process trains it, its config differs, or the files are not a run's.
  RunStart(const TrainConfig& config, const StartOptions& options, const Note& note);

  // The checkpoint to continue from, if any.
  const std::optional<std::filesystem::path>& checkpoint() const { return checkpoint_; }

  // Creates the folder, moves files that this start would replace into RUN/earlier-N, and writes config.json. Appends a
  // record of this start to starts.jsonl: `facts`, time, machine, command, and the changes of the config since the last
  // start.
  void begin(Json facts);

  // Throws Error when another process has taken over the run.
  void check_owner() const { lock_->check(); }

 private:
  void look();
  void lock();
  void set_aside();

  const TrainConfig& config_;
  StartOptions options_;
  Note note_;
  std::filesystem::path dir_;
  std::unique_ptr<FolderLock> lock_;
  std::optional<std::filesystem::path> checkpoint_;
  std::optional<Json> before_;  // resolved config of the last start
};

// The records in RUN/starts.jsonl, oldest first. An incomplete record is left out.
std::vector<Json> read_starts(const std::filesystem::path& run_dir);

}  // namespace rowan
