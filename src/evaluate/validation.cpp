#include "evaluate/validation.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace rowan {

ValidationSet::ValidationSet(const DataConfig& config, int64_t sequence_length, int64_t vocab_size, int64_t eval_tokens)
    : data_(config.validation, config.shards, config.reading, sequence_length, vocab_size, config.documents),
      reading_(config.reading),
      means_(config.batch_means),
      sequence_length_(sequence_length) {
  if (means_.ranks)
    deal(eval_tokens);
  else
    for (int64_t row = 0; row < data_.rows() && targets_ < eval_tokens; ++row) {
      row_targets_.push_back(static_cast<int32_t>(data_.count(row).targets));
      targets_ += row_targets_.back();
    }
  if (targets_ == 0)
    fail("{}: found no target in the first {} rows of the validation data", data_.shards().front().path().string(),
         rows());
}

void ValidationSet::deal(int64_t eval_tokens) {
  const int64_t ranks = means_.ranks;
  batches_.resize(static_cast<size_t>(ranks));
  std::vector<int64_t> tokens(batches_.size());
  bool going = true;
  for (int64_t first = 0; going && first < data_.rows(); first += ranks * means_.rows) {
    going = false;
    std::vector<int64_t> taken(batches_.size());
    const int64_t end = std::min(data_.rows(), first + ranks * means_.rows);
    for (int64_t row = first; row < end; ++row) {
      const RowCount count = data_.count(row);
      row_targets_.push_back(static_cast<int32_t>(count.targets));
      taken[static_cast<size_t>(row % ranks)] += count.inputs;
    }
    for (size_t rank = 0; rank < batches_.size(); ++rank) {
      // A rank stops when it has more than eval_tokens / ranks tokens, or when its rows have ended.
      if (tokens[rank] > eval_tokens / ranks || taken[rank] == 0) continue;
      ++batches_[rank];
      tokens[rank] += taken[rank];
      going = going || tokens[rank] <= eval_tokens / ranks;
    }
  }
  for (int32_t targets : row_targets_) targets_ += targets;
  if (!batches_.back())
    fail("data.batch_means: found {} ranks, expected at most the {} rows of the validation data", ranks, data_.rows());
}

void ValidationSet::fill(int64_t first, int64_t count, int32_t* inputs, int32_t* targets) const {
  for (int64_t i = 0; i < count; ++i, inputs += sequence_length_, targets += sequence_length_) {
    if (first + i < rows()) {
      data_.read(first + i, inputs, targets);
    } else {
      std::fill_n(inputs, sequence_length_, 0);
      std::fill_n(targets, sequence_length_, ignored_target);
    }
  }
}

namespace {

// The sum of the mean losses of a rank's first `batches` batches.
double sum_of_means(const ValidationSet& set, std::span<const double> row_sums, int64_t rank, int64_t batches) {
  const auto [ranks, rows] = set.batch_means();
  double sum = 0;
  for (int64_t batch = 0; batch < batches; ++batch) {
    double loss = 0;
    int64_t targets = 0;
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t row = (batch * rows + i) * ranks + rank;
      if (row >= set.rows()) break;
      loss += row_sums[static_cast<size_t>(row)];
      targets += set.targets_of(row);
    }
    if (targets) sum += loss / static_cast<double>(targets);
  }
  return sum;
}

}  // namespace

ValidationLosses validation_losses(const ValidationSet& set, std::span<const double> row_sums) {
  ValidationLosses losses;
  losses.targets = set.targets();
  for (double sum : row_sums) losses.mean += sum;
  losses.mean = std::abs(losses.mean / static_cast<double>(set.targets()));  // a NaN may have a sign
  if (set.batches().empty()) return losses;
  double mean = 0, galore = 0;
  const auto ranks = static_cast<double>(set.batches().size());
  for (size_t rank = 0; rank < set.batches().size(); ++rank) {
    const int64_t n = set.batches()[rank];
    const double sum = sum_of_means(set, row_sums, static_cast<int64_t>(rank), n);
    mean += sum / static_cast<double>(n) / ranks;
    galore += sum / static_cast<double>(n + 1) / ranks;
  }
  losses.batch_mean = std::abs(mean);
  if (set.reading() == Reading::documents) losses.galore = std::abs(galore);
  return losses;
}

}  // namespace rowan
