// Dataset: numbered rows of one corpus. The shards of the corpus form one stream of tokens. They are in the order in
// which the config lists files and globs; the files that one glob matches are sorted by path. A row may span several
// shards.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/data_config.h"
#include "data/shard.h"

namespace rowan {

// Targets with this value do not count in the loss.
constexpr int32_t ignored_target = -100;

// Counts over one or more rows: inputs that are not padding, and targets that the loss counts.
struct RowCount {
  int64_t inputs = 0, targets = 0;
};

class Dataset {
 public:
  // Opens the files that the names and globs match. `documents` says how packed rows are split into documents. Without
  // `documents`, packed rows are not split. `sequence_length` is T; ids must be below `vocab_size`.
  // Throws Error if a shard is damaged or given twice or has a name that is not UTF-8, if shards name different
  // tokenizers, have different end ids or too large a vocabulary, if ids of 4 bytes without a header are read as ids of
  // 2 bytes, or if there is no row. Also checks the ids in shards that do not state their vocabulary: the constructor
  // checks the first `looked_through` tokens, and read() checks later tokens.
  Dataset(const std::vector<std::string>& files, const ShardOptions& options, Reading reading, int64_t sequence_length,
          int64_t vocab_size, const std::optional<DocumentConfig>& documents = {});

  static constexpr int64_t looked_through = int64_t{1} << 26;
  // Throws Error if an id that is not below `limit` is among the first `looked_through` tokens of the shards that do
  // not state their vocabulary. `what` says in the message what the limit is.
  void look_through(int64_t limit, std::string_view what) const;

  const std::vector<Shard>& shards() const { return shards_; }
  // The first shard that names its tokenizer; the first shard if none does.
  const Shard& tokenizer_shard() const { return shards_[tokenizer_shard_]; }
  int64_t tokens() const { return offsets_.back(); }
  // The id of the token between documents; -1 if unknown.
  int32_t end_id() const { return end_id_; }
  // The number of rows of an epoch.
  //   packed     ceil((tokens - 1) / T): every token except the first is a target exactly once (unless targets
  //              after end tokens are ignored). The last row may be short; its missing targets are
  //              ignored_target.
  //   documents  the number of documents that start in these shards
  int64_t rows() const { return rows_; }

  // Writes inputs[T] and targets[T] of a row and returns the number of targets that count. Padding inputs are id 0.
  // With Reading::documents, a document of n tokens becomes min(n, T - 1) inputs, followed by the end token, and
  // each input except the first is also a target. Throws Error naming shard, position and id for an id outside the
  // vocabulary.
  int64_t read(int64_t row, int32_t* inputs, int32_t* targets) const;
  // The counts of one row, without copying it.
  RowCount count(int64_t row) const;

 private:
  struct Range {
    int64_t begin, count;
  };
  // The index of the shard that contains a position of the stream.
  size_t shard_of(int64_t position) const;
  void copy(Range range, int32_t* out) const;
  int32_t token(int64_t position) const;
  // The range of a document's tokens in the stream, without end tokens and cut to T - 1 tokens.
  Range content(int64_t document) const;
  void open_documents();
  // Throws Error if the end id is not in the vocabulary. The message names `key`, the setting that needs an end token.
  void check_end_id(const char* key) const;
  void check_documents(const DocumentConfig& documents) const;

  Reading reading_;
  int64_t sequence_length_, vocab_size_, rows_ = 0;
  int32_t end_id_ = -1;
  bool end_targets_ = true;  // whether targets after end tokens count
  std::vector<Shard> shards_;
  size_t tokenizer_shard_ = 0;
  std::vector<int64_t> offsets_{0};  // position of each shard's first token in the stream; the last entry is tokens()
  std::vector<DocumentIndex> documents_;
  // Number of each shard's first document. The last entry is the number of documents.
  std::vector<int64_t> first_document_{0};
};

}  // namespace rowan
