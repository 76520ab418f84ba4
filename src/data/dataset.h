// Dataset: the rows of one corpus, by number. The shards are one stream, in the order of their names; a row may cross
// from one to the next.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/data_config.h"
#include "data/shard.h"

namespace rowan {

// A target that does not count.
constexpr int32_t ignored_target = -100;

// What is real in one or more rows: inputs that are not padding, and targets that count.
struct RowCount {
  int64_t inputs = 0, targets = 0;
};

class Dataset {
 public:
  // Opens what the names and globs match. `documents`: how packed rows are cut, where they are. `sequence_length` is T;
  // ids must be below `vocab_size`. Throws Error when a shard is damaged or given twice, when shards come from
  // different tokenizers or a larger vocabulary, and when there is no row. Shards that do not name their vocabulary are
  // looked through for ids outside of it, the first `looked_through` tokens; later ones are checked as they are read.
  Dataset(const std::vector<std::string>& files, const ShardOptions& options, Reading reading, int64_t sequence_length,
          int64_t vocab_size, const std::optional<DocumentConfig>& documents = {});

  static constexpr int64_t looked_through = int64_t{1} << 26;

  const std::vector<Shard>& shards() const { return shards_; }
  int64_t tokens() const { return offsets_.back(); }
  // The token between documents; -1 where nothing names it.
  int32_t end_id() const { return end_id_; }
  // Rows of an epoch.
  //   packed     ceil((tokens - 1) / T): every token but the very first is a target exactly once (unless the
  //              targets of end tokens do not count); the last row may be short, its missing targets are
  //              ignored_target
  //   documents  the number of documents that start in these shards
  int64_t rows() const { return rows_; }

  // Writes inputs[T] and targets[T] of a row and returns the number of targets that count. Padding inputs are id 0.
  // Throws Error naming shard, position and id for an id outside the vocabulary.
  //   documents  n tokens of content become min(n, T - 1) inputs and the end token; each but the first is a target
  int64_t read(int64_t row, int32_t* inputs, int32_t* targets) const;
  // What read() would give.
  RowCount count(int64_t row) const;

 private:
  struct Range {
    int64_t begin, count;
  };
  // The shard that holds a position of the stream.
  size_t shard_of(int64_t position) const;
  void copy(Range range, int32_t* out) const;
  int32_t token(int64_t position) const;
  // What a document holds, without end tokens around it, cut to T - 1.
  Range content(int64_t document) const;
  void open_documents();
  void check_documents(const DocumentConfig& documents) const;
  void look_through() const;

  Reading reading_;
  int64_t sequence_length_, vocab_size_, rows_ = 0;
  int32_t end_id_ = -1;
  bool end_targets_ = true;  // count
  std::vector<Shard> shards_;
  std::vector<int64_t> offsets_{0};  // position of each shard's first token in the stream; then the end
  std::vector<DocumentIndex> documents_;
  std::vector<int64_t> first_document_{0};  // number of each shard's first document; then the end
};

}  // namespace rowan
