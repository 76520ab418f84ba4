// Writes a stream of tokens as shards of equal size (shard_format.h); the last shard may be shorter. If the process is
// killed, a later process can continue.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/shard_format.h"

namespace rowan {

// The header fields that are the same in all shards of a writer.
struct ShardLabel {
  int32_t vocab_size = 0;
  int32_t end_id = -1;
  shard::EndPlace end_place = shard::EndPlace::none;
  uint64_t tokenizer_hash = 0;
};

struct ShardInfo {
  std::string file;  // file name within the folder
  uint64_t tokens = 0, documents = 0;
  uint64_t checksum = 0;
};

// The state from which a later process continues: the finished shards, and the counts of the unfinished one.
struct ShardsState {
  std::vector<ShardInfo> shards;
  uint64_t part_tokens = 0, part_documents = 0;

  bool empty() const { return shards.empty() && part_tokens == 0; }
};

// The files in `folder` that a ShardWriter with this pattern names itself, for shards number `first` and later: shards,
// document indexes, and the .part files of both. Sorted by name. Files with any other name are left out.
std::vector<std::filesystem::path> shard_files_from(const std::filesystem::path& folder, const std::string& pattern,
                                                    uint64_t first);

class ShardWriter {
 public:
  // Shards in `folder` are named by `pattern`, with * replaced by 00000, 00001, ... A pattern without * allows only one
  // shard; further tokens throw Error. `state` is what sync() or finish() of an earlier writer with the same arguments
  // returned; the new writer continues from it.
  ShardWriter(std::filesystem::path folder, std::string pattern, const ShardLabel& label, uint64_t shard_tokens,
              ShardsState state = {});

  // Appends tokens of a document. With `starts_document`, ids[0] is the document's first token.
  void append(std::span<const int32_t> ids, bool starts_document);
  // Makes all tokens so far durable, and returns the state.
  const ShardsState& sync();
  // Finishes the last shard, which may be shorter, and returns the state.
  const ShardsState& finish();

  // The number of tokens so far, in all shards.
  uint64_t tokens() const { return tokens_; }

 private:
  std::filesystem::path folder_;
  std::string pattern_;
  ShardLabel label_;
  uint64_t shard_tokens_, tokens_ = 0;
  size_t width_;
  ShardsState state_;  // includes tokens in `buffer_`, which are not yet durable
  std::unique_ptr<AtomicFile> file_, index_;
  std::string buffer_, index_buffer_;
  Hash64 checksum_;

  std::string next_name() const;
  void open();
  void flush();
  void close();
};

}  // namespace rowan
