// BatchSource: defines sample s of a training run as a pure function of (seed, data, s). Ranks, micro-batches and
// threads do not matter. A step of G rows consists of samples [step * G, (step + 1) * G); each rank and micro-batch
// takes a part of them. So the only state to save is the number of samples taken.
#pragma once

#include <cstdint>
#include <vector>

#include "base/json.h"
#include "data/data_config.h"
#include "data/dataset.h"

namespace rowan {

class BatchSource {
 public:
  // Opens the training data of `config`.
  BatchSource(const DataConfig& config, int64_t sequence_length, uint64_t seed, int64_t vocab_size);

  // Writes samples [first, first + count) to inputs[count, T] and targets[count, T]; targets that do not count are
  // -100. Thread-safe. Throws Error naming shard, position and id for an id outside the vocabulary.
  void fill(int64_t first, int64_t count, int32_t* inputs, int32_t* targets) const;
  // The numbers of real inputs and targets in those samples.
  RowCount count(int64_t first, int64_t count) const;

  // Rows of an epoch. An epoch of a mixture has as many rows as its corpora together. Each corpus starts its next epoch
  // when its own is done, so within a corpus no row repeats before all have been read.
  int64_t samples_per_epoch() const { return samples_per_epoch_; }
  int64_t tokens() const;
  int64_t sequence_length() const { return sequence_length_; }
  const std::vector<Dataset>& corpora() const { return corpora_; }
  // The token between documents; -1 if unknown.
  int32_t end_id() const { return corpora_.front().end_id(); }
  // The hash of the tokenizer; 0 if the shards do not name it.
  uint64_t tokenizer_hash() const { return corpora_.front().shards().front().tokenizer_hash(); }

  // Everything that determines the sample order, for checkpoints: seed, sequence length, reading, order, and name,
  // size, tokens and hash of each shard.
  const Json& fingerprint() const { return fingerprint_; }

 private:
  struct Row {
    const Dataset* corpus;
    int64_t row;
  };
  // A place in the round of a mixture: its corpus, and the number of earlier places of that corpus.
  struct Place {
    int64_t corpus, before;
  };
  void draw_round(const std::vector<Corpus>& parts);
  Row row_of(int64_t sample) const;
  // For one corpus: the row of its s-th sample, and how many of the run's first `end` samples are from it.
  int64_t row_in(size_t part, int64_t sample) const;
  int64_t samples_of(size_t part, int64_t end) const;

  int64_t sequence_length_, samples_per_epoch_ = 0;
  Order order_;
  std::vector<Dataset> corpora_;
  std::vector<uint64_t> keys_;   // permutation key of each corpus
  std::vector<int64_t> shares_;  // number of places of each corpus in a round
  std::vector<Place> round_;
  Json fingerprint_;
};

// Throws Error if a run that stored `saved` cannot be continued with data of fingerprint `current`. The message names
// the first difference: the shard, what it was, and what it is now.
void check_fingerprint(const Json& saved, const Json& current);

}  // namespace rowan
