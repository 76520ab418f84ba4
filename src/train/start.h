// The start of a run in its folder, which is locked. If the folder holds a run, the start continues that run, throws
// Error, or moves or copies files of that run into RUN/earlier-N.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "base/folder_lock.h"
#include "base/json.h"
#include "run/metrics.h"
#include "train/config.h"

namespace rowan {

struct StartOptions {
  bool resume = false;          // throw Error if there is no checkpoint; the config may differ from the run's config
  std::optional<int64_t> from;  // go back to the checkpoint of this step; the config may differ from the run's config
  std::string profile = {};     // file for a trace of the first steps; "": none
};

class RunStart {
 public:
  // Locks and inspects the folder if it exists. Removes checkpoints that a killed process left unfinished. Throws Error
  // if another process trains there, or if a run of this config cannot start or continue there with these options.
  RunStart(const TrainConfig& config, const StartOptions& options, const Note& note);

  // The checkpoint to continue from, if any.
  const std::optional<std::filesystem::path>& checkpoint() const { return checkpoint_; }

  // Creates the folder and writes config.json. Files that this start would replace are first moved or copied into
  // RUN/earlier-N. Appends a record of this start to starts.jsonl: `facts`, time, machine, command, the config file,
  // the config, and its changes since the previous start. If the command has --from, the record has it too, also if
  // this start continues. Marks metrics.jsonl if later validation losses cannot be compared with earlier ones;
  // `other_text`: the validation shards are not those of the checkpoint. If the run is done and nothing is evaluated
  // again, writes nothing but the copy of a metrics.jsonl with invalid rows.
  void begin(Json facts, bool other_text);

  // Whether the run is done and this config evaluates its last step otherwise.
  bool evaluates_again() const { return evaluates_again_; }

  // Throws Error when another process has taken over the run. Writes config.json again, with a note, if it was removed.
  void guard() const;

 private:
  // Inspects the folder and finds its newest checkpoint. Returns whether the folder has the same config.
  bool look();
  // Selects the checkpoint of options_.from, unless an interrupted start has already gone back there.
  void go_back(bool same_config);
  // What would continue a run that is done, such as "more run.steps"; "" if this config takes a step.
  std::string way_on() const;
  // Finds out whether a run that is done is evaluated again. Throws Error if its config would change nevertheless.
  void look_for_work();
  void lock();
  // The first of the keys that choose which checkpoints are kept whose value is another one than before, such as
  // "run.keep was 0 and is now 3"; "" if there is none.
  std::string rotation_change() const;
  void set_aside();
  void write_config() const;
  // A run that continues reads no initial weights, so its record keeps `init` as it was.
  void keep_init();

  const TrainConfig& config_;
  const StartOptions options_;
  Note note_;
  std::filesystem::path dir_;
  Json resolved_;  // the config that is recorded
  std::unique_ptr<FolderLock> lock_;
  std::optional<std::filesystem::path> checkpoint_;
  std::optional<int64_t> back_to_;  // the step that this start goes back to
  std::optional<Json> before_;      // RUN/config.json of the previous start
  std::string difference_;          // first difference from before_, besides what is evaluated; "": none
  bool idle_ = false, evaluates_again_ = false;
};

}  // namespace rowan
