// Tokenizers: text to ids and back, behind one interface. All public member functions are const and thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/enum_names.h"

namespace rowan {

// How to treat bytes that are not UTF-8. They are never changed silently.
enum class InvalidUtf8 {
  keep,    // kinds `bytes` and `gpt2` encode them as they are, so decode(encode(x)) == x; the other kinds refuse
  refuse,  // throw Error naming the byte offset
};
constexpr auto names_of(InvalidUtf8) { return enum_names("keep", "refuse"); }

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Appends the ids of `text`, which is one whole document. Special tokens are never recognized inside text.
  virtual void encode(std::string_view text, std::vector<int32_t>& ids) const = 0;
  // Returns the bytes that the ids stand for; the end id stands for none. Throws Error for an id outside the
  // vocabulary.
  virtual std::string decode(std::span<const int32_t> ids) const = 0;

  // The number of bytes of text that an id stands for inside a document; 0 for special and unknown tokens.
  virtual int64_t token_bytes(int32_t id) const;

  // The number of ids, including the end id.
  int32_t vocab_size() const { return vocab_size_; }
  // The id of the token that separates documents, for example: bytes 256, GPT-2 50256, T5 1, LLaMA 2.
  int32_t end_id() const { return end_id_; }
  // A hash of the kind of tokenizer and the content of its vocabulary or model file. For `huggingface`, this file is
  // tokenizer.json; an end token that tokenizer_config.json names is hashed too, unless it is the usual end token.
  uint64_t hash() const { return hash_; }
  // The `spec` that make_tokenizer() was given.
  const std::string& spec() const { return spec_; }
  InvalidUtf8 invalid() const { return invalid_; }

  std::vector<int32_t> encode(std::string_view text) const {
    std::vector<int32_t> ids;
    encode(text, ids);
    return ids;
  }

 protected:
  int32_t vocab_size_ = 0, end_id_ = -1;
  uint64_t hash_ = 0;
  std::string spec_;
  InvalidUtf8 invalid_ = InvalidUtf8::refuse;

  void check_id(int32_t id) const;

  friend std::unique_ptr<Tokenizer> make_tokenizer(const std::string& spec, InvalidUtf8 invalid);
};

// `bytes`: ids 0 to 255 are the bytes themselves, 256 is the end token.
// `gpt2:FILE`: byte-level BPE. For FILE, see read_gpt2_vocabulary() in gpt2.h.
// `sentencepiece:FILE`: a sentencepiece model (T5's spiece.model, LLaMA's tokenizer.model).
// `huggingface:FILE`: a tokenizer.json, or the folder that contains it.
// Throws Error for an unknown kind, an unreadable or damaged file, or a kind left out of this build.
std::unique_ptr<Tokenizer> make_tokenizer(const std::string& spec, InvalidUtf8 invalid = InvalidUtf8::keep);

}  // namespace rowan
