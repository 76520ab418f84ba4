// Names that users type: suggestions for misspelled names, lists for messages, other spellings, and names of enum
// values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/enum_names.h"
#include "base/error.h"

namespace rowan {

// The candidate nearest to `name` in edit distance; "" if each candidate takes more than max(1, length of `name` / 2)
// edits, or if `name` has more than 200 bytes.
std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

// "; did you mean 'x'?" with the nearest candidate, or with one that is an extension or a beginning of `name`; "" if
// there is neither.
std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates);

// Joins names to "a, b, c".
std::string join(const std::vector<std::string>& names);

// "fp32" for "f32", which an earlier version wrote; Rowan's name of an activation that transformers names twice; else
// the name itself.
std::string_view current_spelling(std::string_view name);

// The spellings of an enum (base/enum_names.h), in the order of its values.
template <typename Enum>
std::vector<std::string> all_names() {
  const auto names = names_of(Enum());
  return {names.begin(), names.end()};
}

// The enum value whose spelling is current_spelling(name). If there is none, throws Error naming `what` and all
// spellings.
template <typename Enum>
Enum named(const char* what, std::string_view name) {
  const std::vector<std::string> names = all_names<Enum>();
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == current_spelling(name)) return static_cast<Enum>(i);
  fail("{}: found '{}', expected one of {}{}", what, name, join(names), did_you_mean(name, names));
}

}  // namespace rowan
