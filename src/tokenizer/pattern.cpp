#include "tokenizer/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"

namespace rowan {

Pattern::Pattern(const std::string& expression) {
  int code = 0;
  PCRE2_SIZE where = 0;
  pcre2_code* compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                                       PCRE2_UTF | PCRE2_UCP, &code, &where, nullptr);
  if (compiled == nullptr) {
    PCRE2_UCHAR reason[256] = {};
    pcre2_get_error_message(code, reason, sizeof reason);
    fail("pattern '{}': byte {}: {}", expression, where + 1, reinterpret_cast<const char*>(reason));
  }
  code_ = std::shared_ptr<void>(compiled, [](void* c) { pcre2_code_free(static_cast<pcre2_code*>(c)); });
  pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
}

std::string Pattern::quoted(std::string_view text) {
  std::string quoted;
  for (char c : text) {
    if (std::string_view("\\^$.|?*+()[]{}# \t\n").find(c) != std::string_view::npos) quoted += '\\';
    quoted += c;
  }
  return quoted;
}

std::vector<std::pair<size_t, size_t>> Pattern::matches(std::string_view text) const {
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(
      pcre2_match_data_create_from_pattern(code, nullptr), pcre2_match_data_free);
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match.get());
  std::vector<std::pair<size_t, size_t>> found;
  for (size_t at = 0; at <= text.size() && !text.empty();) {
    const int count = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at, PCRE2_NO_UTF_CHECK,
                                  match.get(), nullptr);
    if (count == PCRE2_ERROR_NOMATCH) break;
    if (count < 0) fail("cannot search a text of {} bytes for a pattern (PCRE2 error {})", text.size(), count);
    if (ends[0] == ends[1] && !found.empty() && found.back().second == ends[1]) {
      do ++at;  // to the next character
      while (at < text.size() && (text[at] & 0xc0) == 0x80);
      continue;
    }
    found.emplace_back(ends[0], ends[1]);
    at = ends[1];
  }
  return found;
}

}  // namespace rowan
