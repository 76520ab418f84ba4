// Trainer: a model with its data, its optimizer and the communicator of its ranks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "comm/agreement.h"
#include "data/batch_source.h"
#include "data/prefetch.h"
#include "evaluate/hellaswag.h"
#include "evaluate/validation.h"
#include "optim/average.h"
#include "optim/optimizer.h"
#include "run/checkpoint.h"
#include "sharding/sharding.h"
#include "train/config.h"
#include "train/spike_detector.h"

namespace rowan {

class Timeline;

// Requests by a signal or a timer. A request to one rank takes effect on all ranks.
struct Wishes {
  bool stop = false;
  bool save = false;
};

// Thrown on all ranks when any rank is requested to stop.
struct Stopped {};

// Thrown on all ranks by a step or an evaluation whose data some rank could not read: a file shrank, or has an id
// outside the vocabulary. The step or evaluation has changed nothing, so the state of the earlier steps can be saved.
class DataError : public AgreedError {
 public:
  using AgreedError::AgreedError;
};

struct StepResult {
  double loss = 0;       // mean over the step's targets, in nats
  double grad_norm = 0;  // global gradient norm before clipping
  double lr = 0;         // learning rate of the main recipe
  std::string skipped;   // why the update was skipped, the same on every rank; empty if it was applied
  bool stop = false;     // some rank was requested to stop
  bool save = false;     // some rank was requested to save
};

class Trainer {
 public:
  // Throws Error for a config that cannot run, such as one whose batch cannot be divided among the ranks.
  Trainer(const TrainConfig& config, Backend& backend, Communicator& communicator);

  // Sets a function that returns the requests made to this rank. The trainer calls it in training and in evaluations.
  void listen(std::function<Wishes()> wishes) { wishes_ = std::move(wishes); }

  // Computes the gradient over batch.sequences sequences. Makes one optimizer update, or skips it. Throws Error after
  // too many non-finite gradients in a row. Throws DataError, or Stopped between micro-batches; the weights are then
  // unchanged.
  StepResult step();
  int64_t steps_done() const { return steps_done_; }

  // The losses over the validation set, the same on every rank; nothing if there is no such set. Calls `done` before
  // each batch with the fraction of rows evaluated so far. Throws Stopped or DataError.
  std::optional<ValidationLosses> validate(const std::function<void(double)>& done = {});
  // The name and the mean validation loss of each average of the weights that has begun. Throws Stopped or DataError;
  // the weights are then as before.
  std::vector<std::pair<std::string, double>> validate_averages();
  // The score on the items of data.hellaswag, the same on every rank; nothing if the config names no file. Throws
  // Stopped.
  std::optional<HellaSwagScore> hellaswag();

  // Replaces the weights by those in `files`. If `files` belong to another model, throws Error naming file and tensor.
  // Like the constructor and restore(), sends no message, so it may fail on one rank alone.
  void load_weights(const TensorFiles& files);

  // Writes a checkpoint to RUN/checkpoints and returns "". If the loss or the weights are far too large or not finite,
  // writes a ruined checkpoint (Condition) instead and returns the reason. All ranks must call save(). state.json also
  // receives the fields of rank 0's `more`. Rank 0 calls `before_commit` when all tensors have been written.
  std::string save(const Json& more, const Rotation& rotation, const std::function<void()>& before_commit);
  // Throws AgreedError if ranks that hold copies of the same weights have different values.
  void check_weights() { sharding_.check_weights(); }

  // Restores the state from the folder of a checkpoint. Returns the checkpoint's state.json, including the fields of
  // save()'s `more`. Throws Error if the model, the optimizer, the data, the tokenizer or batch.sequences of the
  // checkpoint do not match this run.
  Json restore(const std::filesystem::path& folder);

  const Model& model() const { return model_; }
  const Optimizer& optimizer() const { return optimizer_; }
  const Averages& averages() const { return averages_; }
  const BatchSource& batches() const { return batches_; }
  const Sharding& sharding() const { return sharding_; }
  // Norms by layer (train/layer_norms.h) in the last step. Empty if the update was skipped or run.norms_every does not
  // select the step.
  const std::vector<std::pair<std::string, double>>& norms() const { return norms_; }
  // The number of bytes of text that the validation targets represent (evaluate/bits_per_byte.h); 0 without a tokenizer
  // or validation data.
  int64_t validation_bytes() const { return validation_bytes_; }
  // Tokenizer::hash() of the tokenizer that the training shards name, else of the config's; 0: unknown.
  uint64_t tokenizer_hash() const { return tokenizer_hash_; }
  // A line for each pair of data sets that share shards (data/overlap.h).
  std::vector<std::string> shared_shards() const;
  // Input tokens in all steps so far, without padding. tokens_per_step() includes padding.
  int64_t unpadded_tokens() const { return unpadded_tokens_; }
  int64_t tokens_per_step() const { return config_.batch.sequences * config_.batch.sequence_length; }
  // nullptr without validation data.
  const ValidationSet* validation_set() const { return validation_.get(); }
  // What the config's data files hold, to be compared between ranks: the shards of data.train and data.validation, and
  // a checksum of the items of data.hellaswag; null for those that the config does not name.
  Json data_read() const;
  // The shards of the validation set (shard_fingerprints()); null without validation data.
  Json validation_shards() const;
  // The number of tokens that hellaswag() computes on all ranks, padding included; 0 without data.hellaswag.
  int64_t hellaswag_tokens() const { return hellaswag_rows(hellaswag_) * config_.batch.sequence_length; }
  // The number of targets in the validation set; 0 without validation data.
  int64_t validation_targets() const { return validation_ ? validation_->targets() : 0; }
  // The number of tokens that an evaluation of it computes on all ranks, padding included.
  int64_t validation_tokens() const { return validation_ ? validation_->tokens() : 0; }
  const Timeline& timeline() const;

 private:
  void start_prefetch();
  bool asked_to_stop();
  bool read_data(const std::function<void()>& read);
  void check_data_read();
  ValidationLosses evaluate_weights(const std::function<void(double)>& done = {});
  void restore_averages(const std::filesystem::path& folder, JsonObject state);
  std::string ruin();
  // The index of the first sample that this rank processes in a micro-step.
  int64_t first_sample(int64_t step, int64_t micro) const;
  void upload_samples(int64_t first);
  std::string reason_to_skip(const StepResult& result);

  const TrainConfig& config_;
  Backend& backend_;
  Communicator& communicator_;
  BatchSource batches_;
  Model model_;
  Sharding sharding_;
  Optimizer optimizer_;
  Averages averages_;
  Arena data_;
  Tensor tokens_, targets_, loss_sum_;
  std::unique_ptr<ValidationSet> validation_;
  std::vector<HellaSwagItem> hellaswag_;
  std::unique_ptr<Prefetcher> prefetcher_;
  int64_t micro_steps_ = 1;
  int64_t steps_done_ = 0, unpadded_tokens_ = 0, validation_bytes_ = 0;
  int not_finite_in_a_row_ = 0;
  std::function<Wishes()> wishes_;
  std::string data_error_;  // what this rank could not read in this step
  int64_t micro_steps_between_looks_ = 1;
  double last_loss_ = 0;
  // The largest loss and weight norm of sound checkpoints so far. largest_loss_ is at least the loss of uniform
  // predictions. If the loss of step 1 is finite, largest_loss_ is at least that loss too.
  double largest_loss_ = 0, largest_norm_ = 0;
  SpikeDetector losses_, grad_norms_;
  std::vector<std::pair<std::string, double>> norms_;
  uint64_t tokenizer_hash_ = 0;
};

}  // namespace rowan
