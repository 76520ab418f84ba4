// Validation: a fixed set of rows, and the mean losses computed from it. The set is the same for every micro-batch size
// and number of ranks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "data/data_config.h"
#include "data/dataset.h"

namespace rowan {

class ValidationSet {
 public:
  // Takes the first rows of config.validation until they hold `eval_tokens` targets, or all rows if they hold fewer.
  // If config.batch_means is set, imitates an evaluation by several ranks instead: takes one batch of rows for each
  // rank, then the next batch for each rank, until each rank r has batches()[r] batches. Throws Error if there is no
  // target, or if there are fewer rows than batch_means has ranks.
  ValidationSet(const DataConfig& config, int64_t sequence_length, int64_t vocab_size, int64_t eval_tokens);

  int64_t rows() const { return static_cast<int64_t>(row_targets_.size()); }
  int64_t targets() const { return targets_; }
  int64_t tokens() const { return rows() * sequence_length_; }  // padding included
  int64_t sequence_length() const { return sequence_length_; }
  int64_t targets_of(int64_t row) const { return row_targets_[static_cast<size_t>(row)]; }
  const Dataset& data() const { return data_; }
  Reading reading() const { return reading_; }
  const BatchMeans& batch_means() const { return means_; }
  // The number of batches that each rank of batch_means() takes. As in GaLore's code (torchrun_main.py,
  // evaluate_model), a rank takes batches until its number of tokens times the number of ranks exceeds `eval_tokens`,
  // or until the rank's rows end. Rank r has rows r, r + ranks, r + 2 * ranks, and so on.
  const std::vector<int64_t>& batches() const { return batches_; }

  // Writes rows [first, first + count) to inputs[count, T] and targets[count, T], with T = sequence_length(). Rows past
  // the end are filled with padding, so any batch size and any number of ranks work.
  void fill(int64_t first, int64_t count, int32_t* inputs, int32_t* targets) const;

 private:
  void deal(int64_t eval_tokens);

  Dataset data_;
  Reading reading_;
  BatchMeans means_;
  int64_t sequence_length_, targets_ = 0;
  std::vector<int32_t> row_targets_;
  std::vector<int64_t> batches_;
};

// Losses in nats per target.
struct ValidationLosses {
  double mean = 0;  // mean over all targets
  int64_t targets = 0;
  // Present if the set has batch_means: the loss averaged first over a batch's targets, then over a rank's batches,
  // then over the ranks.
  std::optional<double> batch_mean;
  // Present if the set has batch_means and one document per row: like batch_mean, but each rank divides the sum over
  // its n batches by n + 1. The released code of GaLore and RMNP does this, because its count of batches starts at 1.
  std::optional<double> galore;
};

// Computes the losses of the set from the sum of each row's losses.
ValidationLosses validation_losses(const ValidationSet& set, std::span<const double> row_sums);

}  // namespace rowan
