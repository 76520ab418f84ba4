// Shard: one memory-mapped file of tokens, in any format that Rowan reads. Files of other programs need no conversion.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

#include "base/files.h"
#include "data/document_index.h"
#include "data/shard_format.h"

namespace rowan {

// llmc       llm.c, modded-nanogpt, Rowan: a 1,024-byte header, u16 or u32 tokens (shard_format.h)
// nanogpt    bare tokens; the file does not state their width
// datatrove  X.ds: bare tokens; X.ds.index: where each document ends
// megatron   X.bin: bare tokens; X.idx: element type, sequences and document boundaries
enum class ShardFormat { automatic, llmc, nanogpt, datatrove, megatron };
constexpr auto names_of(ShardFormat) { return enum_names("auto", "llmc", "nanogpt", "datatrove", "megatron"); }

// Facts that some files do not state.
struct ShardOptions {
  ShardFormat format = ShardFormat::automatic;  // automatic: recognized by magic, name, neighboring file or width
  int width = 0;                                // bytes per token (2 or 4); 0: not given
  int32_t end_id = -1;                          // the token between documents; -1: not given
};

class Shard {
 public:
  // Maps the file and checks what needs no pass over the tokens, such as magic, version, exact size, and size of the
  // index beside it. Throws Error naming the file.
  explicit Shard(const std::filesystem::path& path, const ShardOptions& options = {});

  const std::filesystem::path& path() const { return path_; }
  ShardFormat format() const { return format_; }
  int width() const { return width_; }
  int64_t tokens() const { return tokens_; }
  uint64_t file_bytes() const { return file_.size(); }

  // Facts that the file states. If the file does not state them, vocab_size and tokenizer_hash are 0, end_id is
  // ShardOptions::end_id, checksum is nullopt, and end_place is EndPlace::before for llm.c and EndPlace::after for bare
  // tokens.
  int32_t vocab_size() const { return vocab_size_; }
  int32_t end_id() const { return end_id_; }
  shard::EndPlace end_place() const { return end_place_; }
  uint64_t tokenizer_hash() const { return tokenizer_hash_; }
  std::optional<uint64_t> checksum() const { return checksum_; }
  // Hash64 of the first 4,096 bytes of the file, header included.
  uint64_t head_hash() const;

  // Copies tokens [begin, begin + count) as int32; a u32 id above 2^31 - 1 becomes negative. Throws Error if the range
  // exceeds the shard.
  void copy_tokens(int64_t begin, int64_t count, int32_t* out) const;
  int32_t token(int64_t position) const;
  std::string_view token_bytes() const;

  // The document index that was opened together with the file, if there is one.
  const std::optional<DocumentIndex>& index() const { return index_; }
  // Returns index(). If there is no index, scans all tokens for end_id() instead. `begins_document` says whether token
  // 0 starts a document. This argument matters only in the scan of a shard whose end tokens follow documents. Throws
  // Error if a scan is needed, but end_id() or end_place() is unknown, or if a few looks at a shard that Rowan wrote
  // find no end token where its index says that a document begins.
  DocumentIndex documents(bool begins_document = true) const;

 private:
  void open_llmc();
  void open_bare(int width);
  void open_datatrove(int width);
  void open_megatron();
  void check_index() const;

  std::filesystem::path path_;
  MappedFile file_;
  ShardFormat format_;
  int width_ = 0;
  uint64_t base_ = 0;  // byte offset of token 0
  int64_t tokens_ = 0;
  int32_t vocab_size_ = 0, end_id_ = -1;
  shard::EndPlace end_place_ = shard::EndPlace::none;
  uint64_t tokenizer_hash_ = 0;
  std::optional<uint64_t> checksum_;
  std::optional<DocumentIndex> index_;
};

}  // namespace rowan
