#include "tokenizer/gpt2_split.h"

#include <cstdint>
#include <string>
#include <vector>

#include "tokenizer/pattern.h"
#include "tokenizer/utf8.h"

namespace rowan {
const unsigned char* Gpt2Splitter::unicode_classes() {
  static const std::vector<unsigned char> table = [] {
    std::string all;
    std::vector<uint32_t> code_at;  // for each byte of `all`: the code point of its character
    for (uint32_t code = 0; code < code_points; ++code) {
      if (code >= 0xd800 && code < 0xe000) continue;
      append_utf8(all, code);
      code_at.resize(all.size(), code);
    }
    std::vector<unsigned char> classes(code_points, other);
    const std::pair<std::string, Class> members[] = {
        {"\\p{L}+", letter}, {"\\p{N}+", number}, {"[" + white_space + "]+", space}};
    for (const auto& [pattern, kind] : members)
      for (const auto& [begin, end] : Pattern(pattern).matches(all))
        for (size_t at = begin; at < end; ++at) classes[code_at[at]] = kind;
    return classes;
  }();
  return table.data();
}

Gpt2Splitter::Gpt2Splitter() : classes_(unicode_classes()) {}

inline Gpt2Splitter::Class Gpt2Splitter::class_at(std::string_view text, size_t at, size_t& next) const {
  unsigned char byte = static_cast<unsigned char>(text[at]);
  next = at + 1;
  if (byte < 0x80) return static_cast<Class>(classes_[byte]);
  uint32_t code;
  return read_utf8(text, at, code, next) ? static_cast<Class>(classes_[code]) : other;
}

inline size_t Gpt2Splitter::run_end(std::string_view text, size_t at, Class wanted) const {
  size_t next;
  while (at < text.size() && class_at(text, at, next) == wanted) at = next;
  return at;
}

size_t Gpt2Splitter::piece_end(std::string_view text, size_t begin) const {
  if (text[begin] == '\'' && begin + 1 < text.size()) {
    char first = text[begin + 1], second = begin + 2 < text.size() ? text[begin + 2] : '\0';
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return begin + 2;
    if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l'))
      return begin + 3;
  }
  size_t next;
  Class kind = class_at(text, begin, next);
  if (kind != space) return run_end(text, next, kind);
  if (text[begin] == ' ' && next < text.size()) {
    size_t after;
    Class following = class_at(text, next, after);
    if (following != space) return run_end(text, after, following);
  }
  // A run of white space is one piece. If other text follows a run of several characters, the run's last character is
  // left for the next piece.
  size_t last = begin, at = next;
  while (at < text.size() && class_at(text, at, next) == space) {
    last = at;
    at = next;
  }
  return at == text.size() || last == begin ? at : last;
}

}  // namespace rowan
