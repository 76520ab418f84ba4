// Opens a run directory to use the trained model.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "data/data_config.h"
#include "model/model.h"
#include "run/checkpoint.h"
#include "run/metrics.h"

namespace rowan {

// The model options that follow from data.documents.
std::optional<DocumentOptions> document_options(const DataConfig& data, int32_t end_token);

// Finds a checkpoint by name. `named` is a checkpoint's own folder, or a run; `step` then selects one of the run's
// checkpoints: a number, "newest" (that is not damaged) or "best" (the lowest validation loss in metrics.jsonl). Throws
// Error naming the checkpoints that exist, or the file that is damaged.
struct NamedCheckpoint {
  std::filesystem::path run, checkpoint;
};
NamedCheckpoint find_checkpoint(const std::filesystem::path& named, const std::string& step, const Note& note);

// RUN/config.json and one checkpoint of the run. Throws Error when there is no such run or checkpoint.
class RunFolder {
 public:
  // `weights` is "raw" or an average of the weights (Checkpoint).
  RunFolder(const std::filesystem::path& named, const std::string& step, const Note& note,
            const std::string& weights = "raw");

  // RUN/config.json, for sections that have no accessor here.
  JsonObject config() const { return JsonObject(source_, config_); }
  const ModelConfig& model() const { return model_; }
  // The tokenizer's spec; "" if the config names none.
  const std::string& tokenizer() const { return tokenizer_; }
  const Checkpoint& checkpoint() const { return *checkpoint_; }
  // How the run separated documents; `end_token` is the token between them.
  std::optional<DocumentOptions> documents(int32_t end_token) const { return document_options(data_, end_token); }

 private:
  std::shared_ptr<const JsonSource> source_;
  Json config_;
  ModelConfig model_;
  DataConfig data_;
  std::string tokenizer_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

// Throws Error if a model with these options needs more memory than this machine has free; `remedy` says what to
// reduce. Not checked for GPUs, whose allocator reports it.
void check_model_fits(const Backend& backend, const ModelConfig& config, const ModelOptions& options,
                      const std::string& remedy);

// Sets every parameter; throws Error naming file and tensor when `files` holds another model.
void load_weights(Model& model, const TensorFiles& files);

// The model of a run as a next-token predictor with a context of `window` tokens. When a text is extended, only its new
// tokens are computed (keys and values are cached); when it exceeds the window, the second half of the window is kept.
class Predictor {
 public:
  // `end_token` is the token between documents; -1 if there is none.
  Predictor(Backend& backend, const RunFolder& run, int64_t window, int32_t end_token);

  // The logits of the token after `tokens`. Throws Error for an id outside the vocabulary.
  std::vector<float> operator()(std::span<const int32_t> tokens);

 private:
  Backend& backend_;
  Model model_;
  Arena memory_;
  Tensor input_;               // i32[window]
  size_t start_ = 0;           // index in the text of the token at the model's position 0
  std::vector<int32_t> seen_;  // the tokens whose keys and values are cached
};

}  // namespace rowan
