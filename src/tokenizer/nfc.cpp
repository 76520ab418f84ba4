#include "tokenizer/nfc.h"

#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "tokenizer/utf8.h"

namespace rowan {
namespace {

#include "tokenizer/nfc_tables.inc"

// Hangul syllables are computed from their letters: leading consonant, vowel, and optionally a trailing consonant.
constexpr uint32_t syllables = 0xac00, leads = 0x1100, vowels = 0x1161, trails = 0x11a7;
constexpr uint32_t lead_count = 19, vowel_count = 21, trail_count = 28;
constexpr uint32_t syllable_count = lead_count * vowel_count * trail_count;

struct CanonicalTables {
  std::unordered_map<uint32_t, uint8_t> classes;
  // The one or two parts of a character. `second` is 0 if there is only one part.
  std::unordered_map<uint32_t, std::pair<uint32_t, uint32_t>> parts;
  std::unordered_map<uint64_t, uint32_t> wholes;  // the character that two parts compose to, by pair() of the parts

  CanonicalTables() {
    for (const auto& [first, last, value] : class_ranges)
      for (uint32_t code = first; code <= last; ++code) classes[code] = static_cast<uint8_t>(value);
    for (const auto& [code, other] : same_as) parts[code] = {other, 0};
    for (const auto& [code, first, second, composes] : made_of) {
      parts[code] = {first, second};
      if (composes) wholes[pair(first, second)] = code;
    }
  }
  static uint64_t pair(uint32_t first, uint32_t second) { return uint64_t{first} << 32 | second; }
  uint8_t class_of(uint32_t code) const {
    const auto found = classes.find(code);
    return found == classes.end() ? 0 : found->second;
  }
};

void decompose(const CanonicalTables& tables, uint32_t code, std::vector<uint32_t>& codes) {
  if (const uint32_t syllable = code - syllables; syllable < syllable_count) {
    codes.push_back(leads + syllable / (vowel_count * trail_count));
    codes.push_back(vowels + syllable % (vowel_count * trail_count) / trail_count);
    if (syllable % trail_count) codes.push_back(trails + syllable % trail_count);
    return;
  }
  const auto found = tables.parts.find(code);
  if (found == tables.parts.end()) return codes.push_back(code);
  decompose(tables, found->second.first, codes);
  if (found->second.second) decompose(tables, found->second.second, codes);
}

// The character that two characters compose to; 0 if there is none.
uint32_t composed(const CanonicalTables& tables, uint32_t first, uint32_t second) {
  if (first - leads < lead_count && second - vowels < vowel_count)
    return syllables + ((first - leads) * vowel_count + second - vowels) * trail_count;
  if (first - syllables < syllable_count && (first - syllables) % trail_count == 0 && second > trails &&
      second < trails + trail_count)
    return first + second - trails;
  const auto found = tables.wholes.find(CanonicalTables::pair(first, second));
  return found == tables.wholes.end() ? 0 : found->second;
}

}  // namespace

std::string nfc(std::string_view text) {
  // Fast path: text of characters below U+0300 is in form C already. All bytes of these characters are below 0xcc.
  if (std::all_of(text.begin(), text.end(), [](unsigned char byte) { return byte < 0xcc; })) return std::string(text);
  static const CanonicalTables tables;
  std::vector<uint32_t> codes;
  for (size_t at = 0, next; at < text.size(); at = next) {
    uint32_t code;
    if (!read_utf8(text, at, code, next)) return std::string(text);
    decompose(tables, code, codes);
  }
  // Sort the marks of each character by their combining class.
  for (size_t begin = 0; begin < codes.size();) {
    size_t end = begin + 1;
    while (end < codes.size() && tables.class_of(codes[end])) ++end;
    std::stable_sort(codes.begin() + static_cast<ptrdiff_t>(begin + (tables.class_of(codes[begin]) ? 0 : 1)),
                     codes.begin() + static_cast<ptrdiff_t>(end),
                     [](uint32_t a, uint32_t b) { return tables.class_of(a) < tables.class_of(b); });
    begin = end;
  }
  // A character may compose with the last starter (a character of class 0), unless a mark of the same or a higher class
  // stands between them.
  std::vector<uint32_t> result;
  size_t starter = SIZE_MAX;
  int last_class = -1;  // class of the last uncomposed mark since the starter; -1: none
  for (uint32_t code : codes) {
    const int own = tables.class_of(code);
    if (starter != SIZE_MAX && last_class < own)
      if (const uint32_t whole = composed(tables, result[starter], code)) {
        result[starter] = whole;
        continue;
      }
    if (own == 0) starter = result.size();
    last_class = own == 0 ? -1 : own;
    result.push_back(code);
  }
  std::string normalized;
  for (uint32_t code : result) append_utf8(normalized, code);
  return normalized;
}

}  // namespace rowan
