// A run directory opened to use what it trained.
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

// What data.documents asks of a model.
std::optional<DocumentOptions> document_options(const DataConfig& data, int32_t end_token);

// A checkpoint as a person names it. `named` is a run, of which `step` chooses: a number, "newest" (undamaged) or
// "best", the one with the lowest validation loss in metrics.jsonl of those that are there; or it is a checkpoint's own
// folder. Throws Error naming what is there instead, or the file that is damaged.
struct NamedCheckpoint {
  std::filesystem::path run, checkpoint;
};
NamedCheckpoint find_checkpoint(const std::filesystem::path& named, const std::string& step, const Note& note);

// What RUN/config.json says, and a checkpoint of it. Throws Error when there is no such run or checkpoint.
class RunFolder {
 public:
  RunFolder(const std::filesystem::path& named, const std::string& step, const Note& note);

  // RUN/config.json; other sections are read from it by name.
  JsonObject config() const { return JsonObject(source_, config_); }
  const ModelConfig& model() const { return model_; }
  // "" when the run names none.
  const std::string& tokenizer() const { return tokenizer_; }
  const Checkpoint& checkpoint() const { return *checkpoint_; }
  // How the run kept documents apart; `end_token` is the token between them.
  std::optional<DocumentOptions> documents(int32_t end_token) const { return document_options(data_, end_token); }

 private:
  std::shared_ptr<const JsonSource> source_;
  Json config_;
  ModelConfig model_;
  DataConfig data_;
  std::string tokenizer_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

// Sets every parameter; throws Error naming file and tensor when `files` holds another model.
void load_weights(Model& model, const TensorFiles& files);

// The model of a run as a next-token predictor that looks back over the last `window` tokens. A text that grows costs
// its new tokens only; when it outgrows the window, the predictor goes on from the window's last half.
class Predictor {
 public:
  // `end_token`: the token between documents, -1 where there is none.
  Predictor(Backend& backend, const RunFolder& run, int64_t window, int32_t end_token);

  // Logits of the token behind `tokens`. Throws Error for an id outside the vocabulary.
  std::vector<float> operator()(std::span<const int32_t> tokens);

 private:
  Backend& backend_;
  Model model_;
  Arena memory_;
  Tensor input_;               // i32[window]
  size_t start_ = 0;           // of the text: what the model has at position 0
  std::vector<int32_t> seen_;  // what it has
};

}  // namespace rowan
