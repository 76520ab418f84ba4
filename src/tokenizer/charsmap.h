// The table of replacements that sentencepiece models and Hugging Face's tokenizers carry as "precompiled_charsmap":
// of all its keys that a text begins with the longest is replaced, and where none fits a character stays as it is.
// The bytes are the length of a double-array trie (Aoe 1989, in the layout of Darts-clone), the trie, and the
// replacements, each ended by a zero byte.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rowan {

class Charsmap {
 public:
  // Replaces nothing.
  Charsmap() = default;
  // Throws Error for a damaged table: everything that can be reached from the start of the trie must lie inside it.
  explicit Charsmap(std::string_view bytes);

  // Appends `text`, which is UTF-8, with everything replaced.
  void apply(std::string_view text, std::string& result) const;
  // What stands for the beginning of a text, and how many bytes of it.
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
