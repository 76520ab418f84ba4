// Trainer: a model with its data, optimizer and ranks; each step is one optimizer update.
#pragma once

#include <functional>
#include <memory>
#include <optional>

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

// Requests from outside, such as a signal or a timer. A request to any rank takes effect on all ranks.
struct Wishes {
  bool stop = false;
  bool save = false;
};

// Thrown on all ranks, between two micro-batches, when any of them is requested to stop.
struct Stopped {};

struct StepResult {
  double loss = 0;       // mean over the step's targets, in nats
  double grad_norm = 0;  // global gradient norm before clipping
  double lr = 0;         // learning rate of the main recipe
  std::string skipped;   // why the update was skipped, the same on every rank; empty when it was applied
  bool stop = false;     // some rank was requested to stop
  bool save = false;     // some rank was requested to save
};

class Trainer {
 public:
  // Throws Error for a config that cannot run: too few rows of data, a batch that the ranks do not divide.
  Trainer(const TrainConfig& config, Backend& backend, Communicator& communicator);

  // Makes the trainer call `wishes` between micro-batches, in training and in evaluations.
  void listen(std::function<Wishes()> wishes) { wishes_ = std::move(wishes); }

  // One optimizer update over batch.sequences sequences. Throws Error after too many non-finite gradients in a row.
  // Throws Stopped between micro-batches; the state is then that after the last update.
  StepResult step();
  int64_t steps_done() const { return steps_done_; }

  // Losses over the validation set, the same on every rank; nothing if there is no set. Throws Stopped. `done` is
  // called after each batch with the fraction of rows done.
  std::optional<ValidationLosses> validate(const std::function<void(double)>& done = {});
  // The mean loss on the validation set of each average of the weights that has begun, by name. Throws Stopped.
  std::vector<std::pair<std::string, double>> validate_averages();
  // The score on data.hellaswag, the same on every rank; nothing when there is none. Throws Stopped.
  std::optional<HellaSwagScore> hellaswag();

  // Replaces the initial weights by those of `files`. Throws Error naming file and tensor when they are of another
  // model.
  void load_weights(const TensorFiles& files);

  // All ranks write RUN/checkpoints/step_N together. Rank 0's `more` is added to state.json. When the weights or the
  // loss are far outside the range this run has seen, the checkpoint is written as a ruined one (Condition) and the
  // reason is returned. Rank 0 calls `before_commit` when everything else is on disk.
  std::string save(const Json& more, const Rotation& rotation, const std::function<void()>& before_commit);
  // Throws AgreedError when the ranks do not hold the same weights.
  void check_weights() { sharding_.check_weights(); }

  // Restores a checkpoint folder; returns its state.json, which holds what save() was given. Throws Error naming file
  // and tensor when the checkpoint is of another model, or data or optimizer do not match.
  Json restore(const std::filesystem::path& folder);

  const Model& model() const { return model_; }
  const Optimizer& optimizer() const { return optimizer_; }
  const Averages& averages() const { return averages_; }
  const BatchSource& batches() const { return batches_; }
  const Sharding& sharding() const { return sharding_; }
  // The norms of the last step, if run.norms_every asks for them and the update was applied (train/layer_norms.h); else
  // empty.
  const std::vector<std::pair<std::string, double>>& norms() const { return norms_; }
  // Bytes of text that the validation targets stand for (evaluate/bits_per_byte.h); 0 when the config names no
  // tokenizer.
  int64_t validation_bytes() const { return validation_bytes_; }
  // A line for each shard that belongs to more than one data set (data/overlap.h).
  std::vector<std::string> shared_shards() const;
  // Tokens of all steps so far, without padding. Papers on C4 count either these or all positions (tokens_per_step()).
  int64_t unpadded_tokens() const { return unpadded_tokens_; }
  int64_t tokens_per_step() const { return config_.batch.sequences * config_.batch.sequence_length; }
  // Targets of an evaluation over all ranks; 0 without validation data.
  int64_t validation_targets() const { return validation_ ? validation_->targets() : 0; }
  const Timeline& timeline() const { return backend_.timeline(); }

 private:
  void start_prefetch();
  bool asked_to_stop();
  ValidationLosses evaluate_weights(const std::function<void(double)>& done = {});
  void restore_averages(const std::filesystem::path& folder, JsonObject counts);
  std::string ruin();
  // The first sample of this rank's rows in a micro-step.
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
  int64_t micro_steps_between_looks_ = 1;
  double last_loss_ = 0;
  // The largest values so far: those of sound checkpoints, and for the loss also that of the first step and of a
  // uniform guess.
  double largest_loss_ = 0, largest_norm_ = 0;
  SpikeDetector losses_, grad_norms_;
  std::vector<std::pair<std::string, double>> norms_;
};

// The sequences that one rank processes at once, and the number of times it does so in a step. Throws Error when the
// ranks do not divide the batch.
int64_t micro_batch(const BatchConfig& batch, int ranks);
int64_t micro_steps(const BatchConfig& batch, int ranks);

// The model's options for one rank. `end_token`: the data's; below 0 when no data is open.
ModelOptions model_options(const TrainConfig& config, int ranks, int32_t end_token = -1);

}  // namespace rowan
