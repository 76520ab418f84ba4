// Regular expressions over UTF-8 (PCRE2), for the patterns that tokenizers divide text with.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rowan {

class Pattern {
 public:
  // Throws Error for an expression that PCRE2 does not understand.
  explicit Pattern(const std::string& expression);
  // An expression for the text itself.
  static std::string quoted(std::string_view text);
  static Pattern literal(std::string_view text) { return Pattern(quoted(text)); }

  // Where matches begin and end, in order; empty matches are left out. `text` is valid UTF-8.
  std::vector<std::pair<size_t, size_t>> matches(std::string_view text) const;

 private:
  std::shared_ptr<void> code_;
};

}  // namespace rowan
