// Writes a stream of tokens as shards of a fixed size (shard_format.h), in a way that can be continued after a kill.
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

// What every header of a run says.
struct ShardLabel {
  int32_t vocab_size = 0;
  int32_t end_id = -1;
  shard::EndPlace end_place = shard::EndPlace::none;
  uint64_t tokenizer_hash = 0;
};

struct ShardInfo {
  std::string file;  // name inside the folder
  uint64_t tokens = 0, documents = 0;
  uint64_t checksum = 0;
};

// What is durable: the finished shards, and how much of the next one.
struct ShardsState {
  std::vector<ShardInfo> shards;
  uint64_t part_tokens = 0, part_documents = 0;

  bool empty() const { return shards.empty() && part_tokens == 0; }
};

class ShardWriter {
 public:
  // Shards are named by `pattern` in `folder`, a * standing for 00000, 00001, ...; without one there is one shard, and
  // Error when it is full. `state` is that of an earlier writer with the same arguments, whose work is continued.
  ShardWriter(std::filesystem::path folder, std::string pattern, const ShardLabel& label, uint64_t shard_tokens,
              ShardsState state = {});

  // Appends tokens of a document, whose first one is `ids[0]` when `starts_document`.
  void append(std::span<const int32_t> ids, bool starts_document);
  // Makes everything durable and says what that is.
  const ShardsState& sync();
  // Ends the last shard, which may be shorter, and says what was written.
  const ShardsState& finish();

  // Tokens so far, in all shards.
  uint64_t tokens() const { return tokens_; }

 private:
  std::filesystem::path folder_;
  std::string pattern_;
  ShardLabel label_;
  uint64_t shard_tokens_, tokens_ = 0;
  size_t width_;
  ShardsState state_;  // part_tokens and part_documents count what was appended; durable after sync()
  std::unique_ptr<AtomicFile> file_, index_;
  std::string buffer_, index_buffer_;
  Hash64 checksum_;

  std::string next_name() const;
  void open();
  void flush();
  void close();
};

}  // namespace rowan
