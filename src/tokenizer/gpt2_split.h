// GPT-2's rule for splitting text into pieces; byte pairs are never merged across pieces:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// (Radford et al. 2019, the published encoder). The expression is simple enough to be matched by hand-written code,
// many times faster than by a regular expression engine. PCRE2 is asked once which code points are letters, numbers and
// spaces.
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
