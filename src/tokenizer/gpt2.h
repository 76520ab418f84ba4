// GPT-2's byte-level byte pair encoding. A piece (gpt2_split.h) that is a token stays whole. In any other piece, each
// byte starts as a token. Then the adjacent pair that makes the token of lowest rank is merged, leftmost first, until
// no pair makes a token. In GPT-2's vocabulary a token's rank is its id.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tokenizer/gpt2_split.h"
#include "tokenizer/tokenizer.h"

namespace rowan {

// Reads the bytes of every token in order of rank, without the end token. `path` is one of these:
//   a .tiktoken file, with base64, a space and a rank on each line;
//   vocab.bpe or encoder.json, also called merges.txt and vocab.json; both files must be in the same folder;
//   the folder of these two files.
// For GPT-2, all three give the same list. Throws Error naming the file.
std::vector<std::string> read_gpt2_vocabulary(const std::filesystem::path& path);

class Gpt2Tokenizer : public Tokenizer {
 public:
  // `tokens` are as returned by read_gpt2_vocabulary(), and include every single byte.
  Gpt2Tokenizer(const std::vector<std::string>& tokens, InvalidUtf8 invalid);

  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<int32_t>& ids) const override;
  std::string decode(std::span<const int32_t> ids) const override;

 private:
  // An entry of a hash table from a token's bytes to its id: open addressing, at most half full. `tag` is the upper
  // half of the hash; id -1 marks a free entry.
  struct Slot {
    uint32_t tag = 0;
    int32_t id = -1;
  };
  Gpt2Splitter splitter_;
  std::string bytes_;            // the bytes of all tokens, back to back
  std::vector<uint32_t> begin_;  // start of each token in bytes_, then the end of the last token
  std::vector<Slot> slots_;
  size_t longest_ = 0;

  std::string_view token(int32_t id) const {
    return std::string_view(bytes_).substr(begin_[id], begin_[id + 1] - begin_[id]);
  }
  int32_t find(std::string_view bytes) const;
  void merge(std::string_view piece, std::vector<int32_t>& ids) const;
};

}  // namespace rowan
