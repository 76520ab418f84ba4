// BatchSource: defines sample s of a training run as a pure function of (config, data, seed, s). Ranks, micro-batches
// and threads do not matter. A step of G rows consists of samples [step * G, (step + 1) * G), which are divided among
// ranks and micro-batches. So the only state to save is the number of samples taken.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "data/data_config.h"
#include "data/dataset.h"

namespace rowan {

class BatchSource {
 public:
  // Opens the training data of `config`.
  BatchSource(const DataConfig& config, int64_t sequence_length, uint64_t seed, int64_t vocab_size);

  // Writes samples [first, first + count) to inputs[count, T] and targets[count, T], where T is the sequence length.
  // Targets that the loss ignores are -100. Thread-safe. Throws Error naming shard, position and id for an id outside
  // the vocabulary.
  void fill(int64_t first, int64_t count, int32_t* inputs, int32_t* targets) const;
  // Counts the inputs that are not padding and the targets that the loss counts, in samples [first, first + count).
  RowCount count(int64_t first, int64_t count) const;

  // The number of rows in an epoch; for a mixture, the sum over its corpora. Each corpus of a mixture has its own
  // epochs: all its rows are read once before any is repeated.
  int64_t samples_per_epoch() const { return samples_per_epoch_; }
  // How many epochs of corpus `part` the run's first `samples` samples read.
  double epochs(size_t part, int64_t samples) const;
  int64_t tokens() const;
  int64_t sequence_length() const { return sequence_length_; }
  const std::vector<Dataset>& corpora() const { return corpora_; }
  // The id of the token between documents in the first corpus; -1 if unknown.
  int32_t end_id() const { return corpora_.front().end_id(); }
  // The first shard of all corpora that names its tokenizer; the first shard if none does.
  const Shard& tokenizer_shard() const;
  // The hash of the tokenizer; 0 if no shard names it.
  uint64_t tokenizer_hash() const { return tokenizer_shard().tokenizer_hash(); }

  // What determines the sample order, for checkpoints: seed, sequence length, reading and order; weight and rows of
  // each corpus; name, size, tokens and head_hash() of each shard.
  const Json& fingerprint() const { return fingerprint_; }

 private:
  struct Row {
    const Dataset* corpus;
    int64_t row;
  };
  // A place in the round of rows that a mixture repeats: its corpus, and the number of earlier places of this corpus.
  struct Place {
    int64_t corpus, before;
  };
  void draw_round(const std::vector<Corpus>& parts);
  Row row_of(int64_t sample) const;
  // row_in() returns the row of corpus `part` that is sample number `sample` of this corpus. samples_of() returns how
  // many of the run's first `end` samples are from corpus `part`.
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

// Name, size, tokens and head_hash() of each shard, for checkpoints.
Json shard_fingerprints(const Dataset& corpus);
// A text that names the first difference between two results of shard_fingerprints(); "" if there is none, or if
// `saved` is not a list, as in older checkpoints.
std::string shard_difference(const Json& saved, const Json& current);

// Throws Error if a run that stored `saved` cannot continue with data of fingerprint `current`. The message names the
// first difference, the value found and the value expected.
void check_fingerprint(const Json& saved, const Json& current);

}  // namespace rowan
