// RunFolder: the folder of a run, opened for one of its checkpoints.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/json.h"
#include "data/data_config.h"
#include "model/config.h"
#include "run/checkpoint.h"
#include "run/metrics.h"

namespace rowan {

struct DocumentOptions;

// The folders of a run and of one of its checkpoints.
struct NamedCheckpoint {
  std::filesystem::path run, checkpoint;
};
// Finds a checkpoint. `named` is the folder of a checkpoint or of a run. In the folder of a run, `step` selects the
// checkpoint: a number, "newest" (the newest undamaged checkpoint) or "best" (among the checkpoints that exist, the one
// with the lowest validation loss in metrics.jsonl since the evaluation last changed). `note` receives warnings, for
// example about damaged checkpoints or a lower loss whose checkpoint is gone. Throws Error if there is no such
// checkpoint, or if the selected checkpoint is damaged.
NamedCheckpoint find_checkpoint(const std::filesystem::path& named, const std::string& step, const Note& note);

struct OpenedCheckpoint {
  std::filesystem::path run;
  std::unique_ptr<Checkpoint> checkpoint;
};
// Finds a checkpoint like find_checkpoint() and opens it. If it vanishes before it is open, looks for another one.
// `weights` is as for Checkpoint. An open checkpoint stays readable after its folder has vanished.
OpenedCheckpoint open_checkpoint(const std::filesystem::path& named, const std::string& step, const Note& note,
                                 const std::string& weights = "raw");

class RunFolder {
 public:
  // `named` and `step` are as for find_checkpoint(). `weights` is "raw" or the name of an average of the weights.
  // Throws Error when there is no such run, checkpoint or average.
  RunFolder(const std::filesystem::path& named, const std::string& step, const Note& note,
            const std::string& weights = "raw");

  // The folder of the run.
  const std::filesystem::path& path() const { return path_; }
  // RUN/config.json, for the sections that have no accessor here.
  JsonObject config() const { return JsonObject(source_, config_); }
  const ModelConfig& model() const { return model_; }
  const DataConfig& data() const { return data_; }
  // The config's "tokenizer"; "" if it has none.
  const std::string& tokenizer() const { return tokenizer_; }
  const Checkpoint& checkpoint() const { return *checkpoint_; }
  // "raw" or the name of the average whose weights are checkpoint().model().
  const std::string& weights() const { return weights_; }
  // How the run separated documents (run/document_options.h). `end_token` is the token between documents.
  std::optional<DocumentOptions> documents(int32_t end_token) const;

 private:
  std::filesystem::path path_;
  std::shared_ptr<const JsonSource> source_;
  Json config_;
  ModelConfig model_;
  DataConfig data_;
  std::string tokenizer_, weights_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

}  // namespace rowan
