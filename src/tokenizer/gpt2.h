// GPT-2's byte-level byte pair encoding. In the text every byte is a token at first; inside a piece (gpt2_split.h) the
// neighbours whose union has the lowest rank are merged, the leftmost first, until no union is a token. In GPT-2's
// vocabulary a token's rank is its id.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tokenizer/gpt2_split.h"
#include "tokenizer/tokenizer.h"

namespace rowan {

// The bytes of every token in order of rank, without the end token. From a .tiktoken file (base64, space, rank on each
// line), or from vocab.bpe and encoder.json, which are also called merges.txt and vocab.json: their folder or
// either file. All give the same list. Throws Error naming file and line.
std::vector<std::string> read_gpt2_vocabulary(const std::filesystem::path& path);

class Gpt2Tokenizer : public Tokenizer {
 public:
  // `tokens` as read_gpt2_vocabulary gives them: every single byte is among them.
  Gpt2Tokenizer(const std::vector<std::string>& tokens, InvalidUtf8 invalid);

  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<int32_t>& ids) const override;
  std::string decode(std::span<const int32_t> ids) const override;

 private:
  // The id of a token, -1 for other bytes: a table of open addressing, half empty or more.
  struct Slot {
    uint32_t tag = 0;
    int32_t id = -1;
  };
  Gpt2Splitter splitter_;
  std::string bytes_;            // all tokens, one after the other
  std::vector<uint32_t> begin_;  // of each token in bytes_, and the end
  std::vector<Slot> slots_;
  size_t longest_ = 0;

  std::string_view token(int32_t id) const {
    return std::string_view(bytes_).substr(begin_[id], begin_[id + 1] - begin_[id]);
  }
  int32_t find(std::string_view bytes) const;
  void merge(std::string_view piece, std::vector<int32_t>& ids) const;
};

}  // namespace rowan
