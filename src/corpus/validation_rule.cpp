// Parses --validation: which part of the text is held out.
#include <algorithm>
#include <charconv>
#include <vector>

#include "base/error.h"
#include "base/names.h"
#include "corpus/tokenize_job.h"

namespace rowan {
namespace {

template <typename T>
bool parse_number(std::string_view text, T& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

ValidationRule ValidationRule::parse(const std::string& text) {
  size_t colon = text.find(':');
  std::string kind = text.substr(0, colon), value = colon == std::string::npos ? "" : text.substr(colon + 1);
  ValidationRule rule;
  const std::pair<const char*, Kind> counted[] = {{"every", every}, {"documents", documents}, {"tokens", tokens}};
  for (auto [name, which] : counted)
    if (kind == name && parse_number(value, rule.count) && rule.count > 0) {
      rule.kind = which;
      return rule;
    }
  if (kind == "hash" && parse_number(value, rule.fraction) && rule.fraction > 0 && rule.fraction < 1) {
    rule.kind = hash;
    return rule;
  }
  if (kind == "last" && value.ends_with('%') && parse_number(value.substr(0, value.size() - 1), rule.fraction) &&
      rule.fraction > 0 && rule.fraction < 100) {
    rule.kind = last;
    rule.fraction /= 100;
    return rule;
  }
  const std::vector<std::string> kinds = {"none", "every", "documents", "tokens", "hash", "last"};
  const bool known = std::find(kinds.begin(), kinds.end(), kind) != kinds.end();  // then its value is wrong
  if (text != "none")
    fail(
        "--validation: found '{}', expected none, every:N, documents:N, tokens:N, hash:FRACTION (above 0, below 1) or "
        "last:PERCENT%{}",
        text, known ? "" : did_you_mean(kind, kinds));
  return rule;
}

}  // namespace rowan
