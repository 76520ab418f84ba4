#include "evaluate/validation.h"

#include <algorithm>

#include "base/error.h"

namespace rowan {

ValidationSet::ValidationSet(const DataConfig& config, int64_t sequence_length, int64_t vocab_size, int64_t eval_tokens)
    : data_(config.validation, config.shards, config.reading, sequence_length, vocab_size),
      sequence_length_(sequence_length) {
  while (rows_ < data_.rows() && targets_ < eval_tokens) targets_ += data_.count(rows_++).targets;
  if (targets_ == 0)
    fail("{}: no target in the first {} rows of the validation data", data_.shards().front().path().string(), rows_);
}

void ValidationSet::fill(int64_t first, int64_t count, int32_t* inputs, int32_t* targets) const {
  for (int64_t i = 0; i < count; ++i, inputs += sequence_length_, targets += sequence_length_) {
    if (first + i < rows_) {
      data_.read(first + i, inputs, targets);
    } else {
      std::fill_n(inputs, sequence_length_, 0);
      std::fill_n(targets, sequence_length_, ignored_target);
    }
  }
}

void LossMeter::add(double loss_sum, int64_t targets) {
  if (targets == 0) return;
  loss_sum_ += loss_sum;
  targets_ += targets;
  sum_of_means_ += loss_sum / static_cast<double>(targets);
  ++batches_;
}

double LossMeter::mean() const {
  if (targets_ == 0) fail("a validation loss was asked for without a target");
  return loss_sum_ / static_cast<double>(targets_);
}

double LossMeter::galore_mean() const { return sum_of_means_ / static_cast<double>(batches_ + 1); }

}  // namespace rowan
