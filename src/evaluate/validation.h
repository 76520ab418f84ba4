// Validation: fixed rows that depend on the files and the sequence length only, and the figures made of their losses.
#pragma once

#include <cstdint>

#include "data/data_config.h"
#include "data/dataset.h"

namespace rowan {

class ValidationSet {
 public:
  // The first rows of config.validation, in order, that together hold `eval_tokens` targets; all of them when there
  // are fewer.
  ValidationSet(const DataConfig& config, int64_t sequence_length, int64_t vocab_size, int64_t eval_tokens);

  int64_t rows() const { return rows_; }
  int64_t targets() const { return targets_; }
  int64_t sequence_length() const { return sequence_length_; }
  const Dataset& data() const { return data_; }

  // Rows [first, first + count) to inputs[count, T] and targets[count, T]. Rows past the end are all padding, so any
  // batch size and any number of ranks can go through the set.
  void fill(int64_t first, int64_t count, int32_t* inputs, int32_t* targets) const;

 private:
  Dataset data_;
  int64_t sequence_length_, rows_ = 0, targets_ = 0;
};

// Adds up the losses of batches. Sums over ranks may be added in any grouping for mean(); galore_mean() is defined by
// its batches.
class LossMeter {
 public:
  // `loss_sum` in nats over `targets` targets; a batch without targets is left out.
  void add(double loss_sum, int64_t targets);

  int64_t targets() const { return targets_; }
  // Loss per target, every target with the same weight. Throws Error when there was no target.
  double mean() const;
  // What the released code of GaLore (and of the papers built on it) reports after the same n batches: the sum of the
  // batches' means divided by n + 1, since its count of batches starts at 1.
  double galore_mean() const;

 private:
  double loss_sum_ = 0, sum_of_means_ = 0;
  int64_t targets_ = 0, batches_ = 0;
};

}  // namespace rowan
