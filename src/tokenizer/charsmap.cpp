#include "tokenizer/charsmap.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "tokenizer/utf8.h"

namespace rowan {
namespace {

// Fields of a unit (a node) of the trie. label() is the byte that leads to the unit, offset() locates the children of
// the unit, and ends_key() says whether a key ends at the unit. If a key ends there, the unit has a child for byte 0
// with the highest bit set. The value() of this child is the position of the key's replacement.
bool ends_key(uint32_t unit) { return unit >> 8 & 1; }
uint32_t label(uint32_t unit) { return unit & 0x800000ffu; }
uint32_t offset(uint32_t unit) { return unit >> 10 << (unit >> 6 & 8); }
uint32_t value(uint32_t unit) { return unit & 0x7fffffffu; }

// A generous limit on a replacement, in bytes: compatibility forms expand to at most 18 characters (Unicode Standard
// Annex 15).
constexpr size_t longest_replacement = 1024;
constexpr size_t most_keys_on_a_path = 32;  // sentencepiece has the same limit
constexpr size_t longest_key = 1024;

size_t character_bytes(std::string_view text) {
  size_t bytes = 1;
  while (bytes < text.size() && (text[bytes] & 0xc0) == 0x80) ++bytes;
  return bytes;
}

// Checks all keys. Keys with equal endings may share nodes of the trie, so visited nodes are remembered and skipped.
class Checker {
 public:
  Checker(const std::vector<uint32_t>& units, const std::string& replacements)
      : units_(units), replacements_(replacements), keys_below_(units.size(), unseen) {}

  void run() {
    if (keys_among(offset(units_[0]), 0) > most_keys_on_a_path)
      fail("precompiled_charsmap: damaged: found too many keys that start with other keys");
  }

 private:
  static constexpr uint16_t unseen = UINT16_MAX, open = UINT16_MAX - 1;
  const std::vector<uint32_t>& units_;
  const std::string& replacements_;
  std::vector<uint16_t> keys_below_;  // for each node: the largest number of keys that end on one path below it

  // `children` is the index of the child for byte 0. The child for another byte is at `children` ^ byte.
  size_t keys_among(uint32_t children, size_t depth) {
    if ((children | 0xffu) >= units_.size()) fail("precompiled_charsmap: damaged: a node points outside the trie");
    if (depth > longest_key) fail("precompiled_charsmap: damaged: found a key of more than {} bytes", longest_key);
    size_t most = 0;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const uint32_t child = children ^ byte;
      if (units_[child] != 0 && label(units_[child]) == byte)  // a unit whose bits are all 0 is unused
        most = std::max(most, ends_key(units_[child]) + below(child, depth));
    }
    return most;
  }

  size_t below(uint32_t node, size_t depth) {
    if (keys_below_[node] == open) fail("precompiled_charsmap: damaged: found a cycle in the trie");
    if (keys_below_[node] != unseen) return keys_below_[node];
    keys_below_[node] = open;
    const uint32_t children = node ^ offset(units_[node]);
    const size_t keys = keys_among(children, depth + 1);
    if (ends_key(units_[node])) check_replacement(value(units_[children]));
    return keys_below_[node] = static_cast<uint16_t>(keys);
  }

  void check_replacement(uint32_t begin) const {
    if (begin >= replacements_.size() || replacements_.find('\0', begin) - begin > longest_replacement)
      fail("precompiled_charsmap: damaged: the replacement at byte {} of {} is too long or outside the table", begin,
           replacements_.size());
    if (const char* text = replacements_.data() + begin; first_invalid_utf8(text) != std::strlen(text))
      fail("precompiled_charsmap: damaged: found a replacement at byte {} that is not UTF-8", begin);
  }
};

}  // namespace

Charsmap::Charsmap(std::string_view bytes) {
  if (bytes.empty()) return;
  uint32_t trie_bytes = 0;
  if (bytes.size() > sizeof trie_bytes) std::memcpy(&trie_bytes, bytes.data(), sizeof trie_bytes);
  if (trie_bytes == 0 || trie_bytes % sizeof(uint32_t) || trie_bytes >= bytes.size() - sizeof trie_bytes)
    fail("precompiled_charsmap: damaged: found a trie of {} bytes in a table of {}", trie_bytes, bytes.size());
  units_.resize(trie_bytes / sizeof(uint32_t));
  std::memcpy(units_.data(), bytes.data() + sizeof trie_bytes, trie_bytes);
  replacements_ = bytes.substr(sizeof trie_bytes + trie_bytes);
  if (replacements_.back() != '\0') fail("precompiled_charsmap: the last replacement has no final zero byte");
  Checker(units_, replacements_).run();
}

template <typename Found>
void Charsmap::each_key(std::string_view text, Found found) const {
  if (units_.empty()) return;
  uint32_t at = offset(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    at ^= static_cast<unsigned char>(text[i]);
    const uint32_t unit = units_[at];
    if (label(unit) != static_cast<unsigned char>(text[i])) return;
    at ^= offset(unit);
    if (ends_key(unit) && !found(std::string_view(replacements_.data() + value(units_[at])), i + 1)) return;
  }
}

Charsmap::Step Charsmap::step(std::string_view text) const {
  Step best{text.substr(0, character_bytes(text)), character_bytes(text)};
  each_key(text, [&](std::string_view replacement, size_t length) {
    // A damaged table may have keys that end inside a character.
    if (length == text.size() || (text[length] & 0xc0) != 0x80) best = {replacement, length};
    return true;
  });
  return best;
}

std::optional<std::string_view> Charsmap::shortest(std::string_view text) const {
  std::optional<std::string_view> shortest;
  each_key(text.substr(0, text.find('\0')), [&](std::string_view replacement, size_t) {
    shortest = replacement;
    return false;
  });
  return shortest;
}

void Charsmap::apply(std::string_view text, std::string& result) const {
  for (size_t at = 0; at < text.size();) {
    const Step next = step(text.substr(at));
    result += next.replacement;
    at += next.length;
  }
}

}  // namespace rowan
