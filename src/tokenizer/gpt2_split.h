// GPT-2's rule for splitting text into pieces. Byte pairs are never merged across pieces. The rule is
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// (Radford et al. 2019, the published encoder), where \s is White_Space. Hand-written code matches this expression.
// PCRE2 only classifies the code points (letters, numbers, spaces), once per process.
#pragma once

#include <cstddef>
#include <string_view>

namespace rowan {

class Gpt2Splitter {
 public:
  Gpt2Splitter();

  // The end of the piece that begins at `begin` < text.size(). A byte that is not valid UTF-8 counts as a character
  // that is neither letter, number nor space.
  size_t piece_end(std::string_view text, size_t begin) const;

 private:
  enum Class : unsigned char { other, letter, number, space };
  const unsigned char* classes_;  // the class of each code point

  Class class_at(std::string_view text, size_t at, size_t& next) const;
  size_t run_end(std::string_view text, size_t at, Class wanted) const;
  static const unsigned char* unicode_classes();
};

}  // namespace rowan
