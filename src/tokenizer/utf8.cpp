#include "tokenizer/utf8.h"

#include <cstdint>
#include <cstring>

#include "base/error.h"

namespace rowan {

void append_utf8(std::string& text, uint32_t code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xc0 | code >> 6);
    text += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    text += static_cast<char>(0xe0 | code >> 12);
    text += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    text += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    text += static_cast<char>(0xf0 | code >> 18);
    text += static_cast<char>(0x80 | (code >> 12 & 0x3f));
    text += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    text += static_cast<char>(0x80 | (code & 0x3f));
  }
}

bool read_utf8(std::string_view text, size_t at, uint32_t& code, size_t& next) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned char lead = byte(at);
  int more = lead < 0x80                    ? 0
             : lead >= 0xc2 && lead <= 0xdf ? 1
             : (lead & 0xf0) == 0xe0        ? 2
             : (lead & 0xf8) == 0xf0        ? 3
                                            : -1;
  if (more < 0 || at + static_cast<size_t>(more) >= text.size()) return false;
  code = more == 0 ? lead : lead & (0x3f >> more);
  for (int i = 1; i <= more; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return false;
    code = code << 6 | (byte(at + i) & 0x3f);
  }
  bool overlong = (more == 2 && code < 0x800) || (more == 3 && code < 0x10000);
  if (overlong || (code >= 0xd800 && code < 0xe000) || code >= code_points) return false;
  next = at + static_cast<size_t>(more) + 1;
  return true;
}

size_t first_invalid_utf8(std::string_view text) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  size_t size = text.size(), i = 0;
  auto follows = [&](size_t at, unsigned char low, unsigned char high) {
    return at < size && bytes[at] >= low && bytes[at] <= high;
  };
  while (i < size) {
    // Most text is ASCII, so check eight bytes at a time.
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

void refuse_invalid_utf8(std::string_view text) {
  size_t at = first_invalid_utf8(text);
  if (at < text.size()) fail("text is not UTF-8: byte 0x{:02x} at offset {}", static_cast<unsigned char>(text[at]), at);
}

}  // namespace rowan
