// Checkpoints: RUN/checkpoints/step_00001000/{model.safetensors, optimizer.safetensors, state.json, manifest.json}.
//
// A checkpoint is written into the sibling folder step_00001000.part: tensors first, then state.json, then
// manifest.json with the size and checksum of everything. Each file is synced, and one rename makes the folder a
// checkpoint. Only then are old ones removed. So a crash at any moment leaves every finished checkpoint as it was.
//
// Several ranks write one checkpoint together: each its own model-00002-of-00004.safetensors with the tensors it owns,
// and rank 0 the index files of Hugging Face's layout. Tensors are whole and by name, so any number of ranks can read
// them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/safetensors.h"

namespace rowan {

// A tensor to be saved. `data` gives its bytes in host memory, valid until the next call of any `data`.
struct TensorSource : TensorInfo {
  std::function<const void*()> data;
};

// Which checkpoints stay when a new one is there.
struct Rotation {
  int64_t keep = 0;                  // so many of the newest; 0: all
  int64_t keep_every = 0;            // milestones: steps that are multiples of it; 0: none
  std::optional<int64_t> best = {};  // the step of the one that evaluates best
};

// What the state at a step is: sound, or worth keeping only to look at. A ruined checkpoint has a name of its own,
// ruined_00001000, is never gone on from by itself, pushes no sound one out, and is alone of its kind.
enum class Condition : uint8_t { sound, ruined };

// One checkpoint in the making. Rank 0 constructs it first, then (after a barrier) the others; all write(); rank 0
// commits after another barrier. Destroyed without a commit, rank 0 removes what was written. A full disk, or anything
// else that goes wrong, is an Error naming the file.
class CheckpointWriter {
 public:
  // `folder` is RUN/checkpoints; it is made when absent.
  CheckpointWriter(const std::filesystem::path& folder, int64_t step, int rank = 0, int ranks = 1,
                   Condition condition = Condition::sound);
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // This rank's tensors, in one file each.
  void write(const std::vector<TensorSource>& model, const std::vector<TensorSource>& optimizer);
  // Makes the checkpoint durable (replacing one of the same step), then rotates those up to this step.
  void commit(const Json& state, const Rotation& rotation);

 private:
  std::filesystem::path part_, final_;
  int rank_, ranks_;
  int64_t step_;
  Condition condition_;
};

// A checkpoint opened for reading. Throws Error naming the file when one is missing or malformed.
class Checkpoint {
 public:
  explicit Checkpoint(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  // What commit() was given.
  const Json& state() const { return state_; }
  const TensorFiles& model() const { return model_; }
  const TensorFiles& optimizer() const { return optimizer_; }

 private:
  std::filesystem::path folder_;
  Json state_;
  TensorFiles model_, optimizer_;
};

// Throws Error naming the file, and the tensor where it is one, whose bytes are not those of the manifest.
void verify_checkpoint(const std::filesystem::path& checkpoint);

// The checkpoints in RUN/checkpoints, newest first; empty when there is no such folder.
std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& folder);

// RUN/checkpoints/step_00001000 of a step; the step of such a path, -1 for other names.
std::filesystem::path checkpoint_path(const std::filesystem::path& folder, int64_t step);
int64_t step_of(const std::filesystem::path& checkpoint);

// Removes the checkpoints up to `step` that the rotation does not keep.
void rotate_checkpoints(const std::filesystem::path& folder, int64_t step, const Rotation& rotation);

// The newest checkpoint that verifies; damaged ones are skipped, each with a warning. Nothing when there are none;
// throws Error when there are only damaged ones.
std::optional<std::filesystem::path> newest_checkpoint(const std::filesystem::path& folder,
                                                       const std::function<void(const std::string&)>& warn);

// Removes the .part folders that killed runs left behind. Not while another process saves there.
void remove_unfinished_checkpoints(const std::filesystem::path& folder);

}  // namespace rowan
