// The replacement table that sentencepiece models and Hugging Face's tokenizers store as "precompiled_charsmap". At
// each position the longest matching key is replaced; if none matches, one character is copied. The table consists of
// the size in bytes of a double-array trie (Aoe 1989, in the layout of Darts-clone), the trie, and the replacements,
// each ended by a zero byte.
#pragma once

#include <cstdint>
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

 private:
  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace rowan
