// Regular expressions over UTF-8 (PCRE2), for the patterns by which tokenizers split text.
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
  // Throws Error for an expression that PCRE2 cannot compile.
  explicit Pattern(const std::string& expression);
  // An expression that matches exactly this text.
  static std::string quoted(std::string_view text);
  static Pattern literal(std::string_view text) { return Pattern(quoted(text)); }

  // The begin and end of every match, in order, without empty matches. `text` is valid UTF-8. Throws Error if PCRE2
  // reports an error, such as an exceeded limit.
  std::vector<std::pair<size_t, size_t>> matches(std::string_view text) const;

 private:
  std::shared_ptr<void> code_;
};

}  // namespace rowan
