// Checkpoints: RUN/checkpoints/step_00001000/{model.safetensors, optimizer.safetensors, state.json, manifest.json}. If
// the run averages its weights, ema.safetensors and tail.safetensors are added, each once its average has begun.
//
// A checkpoint is written into the folder step_00001000.part: tensors first, then state.json, and last manifest.json,
// which lists the other files with their sizes and checksums. Each file is synced, and one rename makes the folder a
// checkpoint. Old checkpoints are removed only after the rename.
//
// Several ranks write one checkpoint together. Each rank writes the tensors assigned to it to its own files, such as
// model-00002-of-00004.safetensors. Rank 0 writes the index files, in Hugging Face's layout. Every tensor is stored
// whole and by name, so any number of ranks can read a checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/safetensors.h"

namespace rowan {

// A tensor to be saved. `data` returns its bytes in host memory. The bytes are valid until the next call of any
// TensorSource's `data`.
struct TensorSource : TensorInfo {
  std::function<const void*()> data;
};

// Which checkpoints are kept when a new one has been written.
struct Rotation {
  int64_t keep = 0;        // number of newest checkpoints to keep; 0: all
  int64_t keep_every = 0;  // also keep the first checkpoint at or after each multiple of this; 0: none
  // Evaluated steps, lowest validation loss first. The first one that has a checkpoint is kept too. Steps whose update
  // was skipped have none.
  std::vector<int64_t> best = {};
  // Receives a line if old checkpoints cannot be removed.
  std::function<void(const std::string&)> warn = [](const std::string&) {};
};

// Whether training can continue from a checkpoint. A ruined checkpoint is kept for inspection, and no run resumes from
// it. Its folder has a name such as ruined_00001000. A new ruined checkpoint replaces the run's other ruined
// checkpoints. Sound checkpoints stay.
enum class Condition : uint8_t { sound, ruined };

// Writes one checkpoint. Rank 0 constructs its writer first; this creates the folder. After a barrier the other ranks
// construct their writers. All ranks call write(). After another barrier rank 0 calls commit(). Without a commit, rank
// 0's destructor removes what was written. A failure to write, such as a full disk, is an Error naming the file.
class CheckpointWriter {
 public:
  // `folder` is RUN/checkpoints; it is created when absent.
  CheckpointWriter(const std::filesystem::path& folder, int64_t step, int rank = 0, int ranks = 1,
                   Condition condition = Condition::sound);
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // Writes this rank's tensors: one file for the model, one for the optimizer, one for each average of the weights.
  void write(const std::vector<TensorSource>& model, const std::vector<TensorSource>& optimizer,
             const std::map<std::string, std::vector<TensorSource>>& averages = {});
  // Makes the checkpoint durable. An existing checkpoint of the same step and condition is replaced. If the new
  // checkpoint is sound, then calls rotate_checkpoints(). If it is ruined, removes the other ruined checkpoints, or
  // warns like rotate_checkpoints().
  void commit(const Json& state, const Rotation& rotation);

 private:
  std::filesystem::path part_, final_;
  std::vector<std::string> stems_;  // stems of the file names written, such as "model"
  int rank_, ranks_;
  int64_t step_;
  Condition condition_;
};

// A checkpoint opened for reading. Throws Error naming a file that is missing or malformed.
class Checkpoint {
 public:
  // `weights` is "raw" or the name of an average of the weights. Throws Error if the checkpoint has no such average.
  explicit Checkpoint(const std::filesystem::path& folder, const std::string& weights = "raw");

  const std::filesystem::path& folder() const { return folder_; }
  // The state that commit() was given.
  const Json& state() const { return state_; }
  const TensorFiles& model() const { return model_; }
  const TensorFiles& optimizer() const { return optimizer_; }

 private:
  std::filesystem::path folder_;
  Json state_;
  TensorFiles model_, optimizer_;
};

// Throws Error if a file is missing, or if its size or a checksum differs from the manifest; Unreadable if a file
// cannot be read. The message names the file and, if the checksum of a tensor differs, the tensor.
void verify_checkpoint(const std::filesystem::path& checkpoint);

// The sound checkpoints in RUN/checkpoints, highest step first; empty when there is no such folder.
std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& folder);

// checkpoint_path() returns RUN/checkpoints/step_00001000 for step 1000. step_of() returns the step of such a path, or
// -1 if the path has another form.
std::filesystem::path checkpoint_path(const std::filesystem::path& folder, int64_t step);
int64_t step_of(const std::filesystem::path& checkpoint);

// A ruined checkpoint in RUN/checkpoints whose step is later than `step`, if there is one.
std::optional<std::filesystem::path> ruined_after(const std::filesystem::path& folder, int64_t step);

// Removes the checkpoints up to `step` that `rotation` does not keep. A failure costs only disk space, so it is a
// warning.
void rotate_checkpoints(const std::filesystem::path& folder, int64_t step, const Rotation& rotation);

// A run that trains removes old checkpoints while other processes read them. A reader whose checkpoint has vanished
// looks for another one, at most `most_tries` times in all.
bool has_vanished(const std::filesystem::path& checkpoint);
constexpr int most_tries = 100;

// Calls look(place), which sets `place` to the checkpoint that it found before it reads it, and returns its result. If
// it throws Error because that checkpoint has vanished, calls it again.
template <typename F>
auto look_again(F&& look) {
  for (int tries = 1;; ++tries) {
    std::filesystem::path place;
    try {
      return look(place);
    } catch (const Error&) {
      if (place.empty() || !has_vanished(place) || tries == most_tries) throw;
    }
  }
}

// Returns the newest undamaged checkpoint. Warns about each damaged checkpoint that is newer. Returns nothing if there
// are no checkpoints. Throws Error if all are damaged, or if one that is newer cannot be read.
std::optional<std::filesystem::path> newest_checkpoint(const std::filesystem::path& folder,
                                                       const std::function<void(const std::string&)>& warn);

// Removes the .part folders of checkpoints that killed processes left. Warns if that fails. Must not be called while
// another process saves in this folder.
void remove_unfinished_checkpoints(const std::filesystem::path& folder,
                                   const std::function<void(const std::string&)>& warn);

}  // namespace rowan
