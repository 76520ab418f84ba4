// Validation: fixed rows that depend on the files and the sequence length only, and the figures made of their losses.
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
  // The first rows of config.validation, in order, that together hold `eval_tokens` targets; all of them when there
  // are fewer. With config.batch_means, the rows that its ranks go through. Throws Error when there is no target.
  ValidationSet(const DataConfig& config, int64_t sequence_length, int64_t vocab_size, int64_t eval_tokens);

  int64_t rows() const { return static_cast<int64_t>(row_targets_.size()); }
  int64_t targets() const { return targets_; }
  int64_t sequence_length() const { return sequence_length_; }
  int64_t targets_of(int64_t row) const { return row_targets_[static_cast<size_t>(row)]; }
  const Dataset& data() const { return data_; }
  const BatchMeans& batch_means() const { return means_; }
  // Of each of the ranks of batch_means(), how many batches it takes: as in the code of GaLore (torchrun_main.py,
  // evaluate_model), batch after batch until its tokens times the number of ranks exceed `eval_tokens`, or until the
  // rows end. Rank r has the rows r, r + ranks, r + 2 ranks ...
  const std::vector<int64_t>& batches() const { return batches_; }

  // Rows [first, first + count) to inputs[count, T] and targets[count, T]. Rows past the end are all padding, so any
  // batch size and any number of ranks can go through the set.
  void fill(int64_t first, int64_t count, int32_t* inputs, int32_t* targets) const;

 private:
  void deal(int64_t eval_tokens);

  Dataset data_;
  BatchMeans means_;
  int64_t sequence_length_, targets_ = 0;
  std::vector<int32_t> row_targets_;
  std::vector<int64_t> batches_;
};

// Losses in nats a target.
struct ValidationLosses {
  double mean = 0;  // every target has the same weight
  int64_t targets = 0;
  // Where the set has batch_means: every batch has the same weight within its rank, every rank the same in the whole.
  std::optional<double> batch_mean;
  // The same with n + 1 in place of the n batches of a rank, as the released code of GaLore and RMNP reports it: its
  // count of batches starts at 1.
  std::optional<double> galore;
};

// From the sum of each row's losses. It depends on neither micro-batch nor ranks.
ValidationLosses validation_losses(const ValidationSet& set, std::span<const double> row_sums);

}  // namespace rowan
