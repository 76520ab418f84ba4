// The replacement table that sentencepiece models and Hugging Face's tokenizers store as "precompiled_charsmap".
// sentencepiece replaces the longest matching key at each position; if none matches, it copies one character. Hugging
// Face's tokenizers use the same table by another rule (text_rules.cpp). The table consists of
// the size in bytes of a double-array trie (Aoe 1989, in the layout of Darts-clone), the trie, and the replacements,
// each ended by a zero byte.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rowan {

class Charsmap {
 public:
  // A table that replaces nothing.
  Charsmap() = default;
  // Throws Error if the table is damaged, for example if a node reachable from the root lies outside the table, or if a
  // replacement is not UTF-8.
  explicit Charsmap(std::string_view bytes);

  // Appends `text` (UTF-8) to `result`, with the keys of the table replaced. The appended text is UTF-8, too.
  void apply(std::string_view text, std::string& result) const;
  // The replacement for the beginning of a text, and the number of bytes of text that it replaces.
  struct Step {
    std::string_view replacement;
    size_t length;
  };
  Step step(std::string_view text) const;
  // The replacement of the shortest key with which the text begins; nullopt if it begins with no key.
  std::optional<std::string_view> shortest(std::string_view text) const;

 private:
  // Calls found(replacement, length of the key) for the keys with which the text begins, shortest first, until it
  // returns false.
  template <typename Found>
  void each_key(std::string_view text, Found found) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace rowan
