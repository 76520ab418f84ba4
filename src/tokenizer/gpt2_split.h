// GPT-2's division of text into pieces, which byte pairs are never merged across:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// (Radford et al. 2019, the published encoder). The expression is simple enough to be walked by hand, many times faster
// than a regular expression engine; which code points are letters, numbers and spaces PCRE2 tells when a table is
// first needed.
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
