// How a Hugging Face tokenizer.json prepares text for its model: the sections "normalizer" and "pre_tokenizer"
// (huggingface.co/docs/tokenizers). Text is split into pieces that the model tokenizes one by one.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_fwd.h"

namespace rowan {

class TextRules {
 public:
  TextRules() = default;
  // Either section may be absent. Throws Error naming the field for a kind of step that Rowan does not read.
  TextRules(JsonObject& tokenizer, const char* normalizer, const char* pre_tokenizer);

  // The text after the steps of the normalizer. `keeps_start` tells whether it begins with what the first character of
  // `text` became; if not, that character was removed.
  std::string normalize(std::string_view text, bool* keeps_start = nullptr) const;
  // Splits a normalized text into pieces. `at_start` says whether the text begins with the start of a document.
  // Metaspace with prepend_scheme "first" puts a mark only there, and nowhere if an earlier step removes that start.
  std::vector<std::string> divide(std::string_view normal, bool at_start) const;

  // Whether a step maps text to bytes. If so, the model's vocabulary is written in GPT-2's byte alphabet
  // (byte_alphabet.h).
  bool byte_level() const { return byte_level_; }
  // Whether a step puts a word mark before the text. Decoding removes the space that this mark becomes.
  bool adds_space() const { return adds_space_; }

 private:
  using Pieces = std::vector<std::string>;
  // `original` is the number of bytes at the start of the text that stem from the first character of the original text.
  using Normalizer = std::function<void(std::string&, size_t& original)>;
  using Step = std::function<void(Pieces&, bool& at_start)>;
  std::vector<Normalizer> normalizers_;
  std::vector<Step> steps_;  // the steps of the pre-tokenizer
  bool byte_level_ = false, adds_space_ = false;

  void add_normalizer(JsonObject step);
  void add_pre_tokenizer(JsonObject step);
  void add_metaspace(JsonObject& step);
  void add_split(JsonObject& step);
};

}  // namespace rowan
