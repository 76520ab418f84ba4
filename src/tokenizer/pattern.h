// Regular expressions over UTF-8 (PCRE2), for the patterns by which tokenizers split text. Expressions of a
// tokenizer.json are written for Oniguruma and must be translated first (oniguruma.h).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rowan {

// Members of classes, to be put between [ and ]. PCRE2's own \s and \w contain other characters, and other ones from
// version to version.
// Unicode's property White_Space, which versions of PCRE2 before 10.40 cannot name.
inline const std::string white_space =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
// Alphabetic characters (letters, numbers written as letters, enclosed letters), marks, decimal digits and connectors.
inline const std::string word_characters =
    R"(\p{L}\p{Nl}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149}\x{1f150}-\x{1f169}\x{1f170}-\x{1f189}\p{M}\p{Nd}\p{Pc})";

class Pattern {
 public:
  // Throws Error for an expression that PCRE2 cannot compile.
  explicit Pattern(const std::string& expression);
  // An expression that matches exactly this text.
  static std::string quoted(std::string_view text);
  static Pattern literal(std::string_view text) { return Pattern(quoted(text)); }

  // The begin and end of every match, in order. An empty match counts unless it begins where the last match ends.
  // `text` is valid UTF-8; an empty text has no matches. Throws Error if PCRE2 reports an error, such as an exceeded
  // limit.
  std::vector<std::pair<size_t, size_t>> matches(std::string_view text) const;

 private:
  std::shared_ptr<void> code_;
};

}  // namespace rowan
