#include <cstdint>
#include <cstring>

#include "data/tokenizer.h"

namespace rowan {

size_t first_invalid_utf8(std::string_view text) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  size_t size = text.size(), i = 0;
  auto follows = [&](size_t at, unsigned char low, unsigned char high) {
    return at < size && bytes[at] >= low && bytes[at] <= high;
  };
  while (i < size) {
    // Most text is ASCII: eight bytes at a time.
    uint64_t word;
    if (i + 8 <= size && (std::memcpy(&word, bytes + i, 8), (word & 0x8080808080808080ull) == 0)) {
      i += 8;
      continue;
    }
    unsigned char lead = bytes[i];
    if (lead < 0x80) {
      ++i;
    } else if (lead >= 0xc2 && lead <= 0xdf) {
      if (!follows(i + 1, 0x80, 0xbf)) return i;
      i += 2;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      // No overlong forms (E0 80..9F) and no surrogates (ED A0..BF).
      if (!follows(i + 1, lead == 0xe0 ? 0xa0 : 0x80, lead == 0xed ? 0x9f : 0xbf) || !follows(i + 2, 0x80, 0xbf))
        return i;
      i += 3;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      // No overlong forms (F0 80..8F), nothing above U+10FFFF (F4 90..).
      if (!follows(i + 1, lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf) || !follows(i + 2, 0x80, 0xbf) ||
          !follows(i + 3, 0x80, 0xbf))
        return i;
      i += 4;
    } else {
      return i;
    }
  }
  return size;
}

}  // namespace rowan
