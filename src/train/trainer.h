// Trainer: a model, its data, its optimizer and its ranks, one optimizer update at a time.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "data/batch_source.h"
#include "data/prefetch.h"
#include "evaluate/hellaswag.h"
#include "evaluate/validation.h"
#include "optim/optimizer.h"
#include "run/checkpoint.h"
#include "sharding/sharding.h"
#include "train/config.h"
#include "train/spike_detector.h"

namespace rowan {

// What a rank is asked for from outside: a signal, a clock. What one is asked for, all do.
struct Wishes {
  bool stop = false;
  bool save = false;
};

// Thrown on all ranks, between two micro-batches, when one of them is asked to stop.
struct Stopped {};

struct StepResult {
  double loss = 0;       // mean over the step's targets, nats
  double grad_norm = 0;  // global, before clipping
  double lr = 0;         // of the main recipe
  std::string skipped;   // why the update was left out, the same on every rank; empty when it was made
  bool stop = false;     // some rank was asked to stop,
  bool save = false;     // or to save
};

class Trainer {
 public:
  // Throws Error for what cannot be run: data without enough rows, a batch that the ranks do not divide.
  Trainer(const TrainConfig& config, Backend& backend, Communicator& communicator);

  // From here on `wishes` is asked between micro-batches, of training and of evaluations.
  void listen(std::function<Wishes()> wishes) { wishes_ = std::move(wishes); }

  // One optimizer update over batch.sequences sequences. Throws Error after too many gradients in a row that were not
  // finite, and Stopped in the middle: then nothing has changed since the last update.
  StepResult step();
  int64_t steps_done() const { return steps_done_; }

  // Over the validation set; nothing when there is none. The same on every rank. Throws Stopped.
  // `done` is told after each batch which part of the rows is through.
  std::optional<ValidationLosses> validate(const std::function<void(double)>& done = {});
  // Over data.hellaswag; nothing when there is none. The same on every rank. Throws Stopped.
  std::optional<HellaSwagScore> hellaswag();

  // Starts from given weights instead of initial ones. Throws Error naming file and tensor when they are another
  // model's.
  void load_weights(const TensorFiles& files);

  // RUN/checkpoints/step_N by all ranks together, and what is known of the run beside the state that returns (`more`,
  // of rank 0). Weights or a loss far outside what this run has seen are kept apart (Condition): then this returns
  // what stands out. `before_commit` is called by rank 0 when everything else is on disk.
  std::string save(const Json& more, const Rotation& rotation, const std::function<void()>& before_commit);
  // Throws AgreedError when the ranks do not hold the same weights.
  void check_weights() { sharding_.check_weights(); }

  // From a checkpoint folder; returns its state.json, with what save() was given. Throws Error naming file and tensor
  // when it is another model's, or data or optimizer do not fit.
  Json restore(const std::filesystem::path& folder);

  const Model& model() const { return model_; }
  const Optimizer& optimizer() const { return optimizer_; }
  const BatchSource& batches() const { return batches_; }
  const Sharding& sharding() const { return sharding_; }
  // Of the last step, when run.norms_every asks for it and its update was made (train/layer_norms.h); else empty.
  const std::vector<std::pair<std::string, double>>& norms() const { return norms_; }
  // Bytes of text behind the validation targets (evaluate/bits_per_byte.h); 0 where the config names no tokenizer.
  int64_t validation_bytes() const { return validation_bytes_; }
  // Shards that stand in more than one data set, in words (data/overlap.h).
  std::vector<std::string> shared_shards() const;
  // Tokens of all steps done that were not padding; the papers on C4 count these or all places, tokens_per_step().
  int64_t unpadded_tokens() const { return unpadded_tokens_; }
  int64_t tokens_per_step() const { return config_.batch.sequences * config_.batch.sequence_length; }
  // Targets of an evaluation over all ranks; 0 without validation data.
  int64_t validation_targets() const { return validation_ ? validation_->targets() : 0; }
  const Timeline& timeline() const { return backend_.timeline(); }

 private:
  void start_prefetch();
  bool asked_to_stop();
  std::string ruin();
  // Of this rank's rows of a micro-step.
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
  // The largest of the run so far: what sound checkpoints had, its first loss and that of a guess among all tokens.
  double largest_loss_ = 0, largest_norm_ = 0;
  SpikeDetector losses_, grad_norms_;
  std::vector<std::pair<std::string, double>> norms_;
};

// Sequences that one rank processes at once, and how often in a step. Throws Error when the ranks do not divide the
// batch.
int64_t micro_batch(const BatchConfig& batch, int ranks);
int64_t micro_steps(const BatchConfig& batch, int ranks);

// The micro-batch of one rank. `end_token`: of the data, below 0 where they are not open.
ModelOptions model_options(const TrainConfig& config, int ranks, int32_t end_token = -1);

}  // namespace rowan
