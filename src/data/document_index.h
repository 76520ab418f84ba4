// Where the documents of a token file start, read in place from the index file beside it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/files.h"

namespace rowan {

class DocumentIndex {
 public:
  // Rowan's NAME.bin.documents (shard_format.h), for a shard of `tokens` tokens.
  static DocumentIndex rowan(const std::filesystem::path& path, int64_t tokens);
  // datatrove's X.ds.index: u64 end of each document, in tokens; the last one is the number of tokens.
  static DocumentIndex datatrove(const std::filesystem::path& path);
  // Megatron's X.idx; `bin_bytes` is the size of the .bin it describes. Its arrays start at byte 34: misaligned.
  static DocumentIndex megatron(const std::filesystem::path& path, uint64_t bin_bytes);
  // Positions found by looking at the tokens.
  static DocumentIndex found(const std::filesystem::path& path, std::vector<int64_t> starts, int64_t tokens);

  int64_t size() const { return count_; }
  // Number of tokens the index speaks of, and (megatron) bytes a token.
  int64_t tokens() const { return tokens_; }
  int width() const { return width_; }
  // The file read.
  const std::filesystem::path& path() const { return path_; }

  // Position of the first token of document i < size(). Sizes are checked when the file is opened, every entry as it
  // is read: Error naming file and document when starts do not ascend or leave the file.
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
