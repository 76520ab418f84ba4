// BatchSource: which row is the s-th of a training run, a pure function of (seed, data, s). Ranks, micro-batches and
// threads do not enter: a step of G rows takes samples [step * G, (step + 1) * G), a rank and a micro-batch a part of
// that, and the only state to save is the number of samples taken.
#pragma once

#include <cstdint>
#include <vector>

#include "base/json.h"
#include "data/data_config.h"
#include "data/dataset.h"

namespace rowan {

class BatchSource {
 public:
  // The training data of `config`.
  BatchSource(const DataConfig& config, int64_t sequence_length, uint64_t seed, int64_t vocab_size);

  // Samples [first, first + count) to inputs[count, T] and targets[count, T]; targets that do not count are -100.
  // Safe to call from many threads. Throws Error naming shard, position and id for an id outside the vocabulary.
  void fill(int64_t first, int64_t count, int32_t* inputs, int32_t* targets) const;
  // What is real in those samples.
  RowCount count(int64_t first, int64_t count) const;

  // Rows of an epoch. A mixture's epoch is as many rows as its corpora have together; each corpus starts its own next
  // epoch as soon as it is through, so within a corpus no row comes twice before all came once.
  int64_t samples_per_epoch() const { return samples_per_epoch_; }
  int64_t tokens() const;
  int64_t sequence_length() const { return sequence_length_; }
  const std::vector<Dataset>& corpora() const { return corpora_; }
  // The token between documents; -1 where nothing names it.
  int32_t end_id() const { return corpora_.front().end_id(); }
  // 0 where the shards do not name their tokenizer.
  uint64_t tokenizer_hash() const { return corpora_.front().shards().front().tokenizer_hash(); }

  // Everything the order depends on, to be stored in a checkpoint: seed, sequence length, reading, order, and name,
  // size, tokens and hash of each shard.
  const Json& fingerprint() const { return fingerprint_; }

 private:
  struct Row {
    const Dataset* corpus;
    int64_t row;
  };
  // A place in the round of a mixture: the corpus, and how many places before are that corpus's.
  struct Place {
    int64_t corpus, before;
  };
  void draw_round(const std::vector<Corpus>& parts);
  Row row_of(int64_t sample) const;

  int64_t sequence_length_, samples_per_epoch_ = 0;
  Order order_;
  std::vector<Dataset> corpora_;
  std::vector<uint64_t> keys_;   // of each corpus's permutations
  std::vector<int64_t> shares_;  // places of each corpus in a round
  std::vector<Place> round_;
  Json fingerprint_;
};

// Throws Error naming the first difference (the shard, what it was, what it is) when a run that stored `saved` cannot
// be continued with data of fingerprint `current`.
void check_fingerprint(const Json& saved, const Json& current);

}  // namespace rowan
