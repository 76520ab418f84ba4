// Where each document of a token file starts: read from a memory-mapped index file beside the token file, or found by a
// scan of the tokens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/files.h"

namespace rowan {

class DocumentIndex {
 public:
  // Opens Rowan's NAME.bin.documents (shard_format.h), which belongs to a shard of `tokens` tokens.
  static DocumentIndex rowan(const std::filesystem::path& path, int64_t tokens);
  // Opens datatrove's X.ds.index. This file holds one u64 for each document: the position after the document's last
  // token. The last u64 is the number of tokens.
  static DocumentIndex datatrove(const std::filesystem::path& path);
  // Opens Megatron's X.idx; `bin_bytes` is the size of X.bin. The arrays start at byte 34, so they are unaligned.
  static DocumentIndex megatron(const std::filesystem::path& path, uint64_t bin_bytes);
  // Wraps positions that were found by scanning the tokens.
  static DocumentIndex found(const std::filesystem::path& path, std::vector<int64_t> starts, int64_t tokens);

  int64_t size() const { return count_; }
  // The number of tokens that the index covers. width() is the number of bytes per token that Megatron's index
  // states, and 0 for other indexes.
  int64_t tokens() const { return tokens_; }
  int width() const { return width_; }
  // The index file, or the token file if the starts were found by a scan.
  const std::filesystem::path& path() const { return path_; }

  // The position of the first token of document i < size(). Throws Error naming file and document if the position is
  // less than the start of the previous document or more than tokens(). Opening an index does not check the positions.
  int64_t start(int64_t i) const;

 private:
  enum class Kind { rowan, datatrove, megatron, found };

  DocumentIndex(Kind kind, std::filesystem::path path) : kind_(kind), path_(std::move(path)) {}
  void map();
  uint64_t word(uint64_t byte) const;
  uint64_t entry(int64_t i) const;

  Kind kind_;
  std::filesystem::path path_;
  std::shared_ptr<const MappedFile> file_;
  std::vector<int64_t> found_;
  int64_t count_ = 0, tokens_ = 0, sequences_ = 0;
  int width_ = 0;
};

}  // namespace rowan
