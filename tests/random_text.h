// Random text for property tests of tokenizers.
#pragma once

#include <cstdint>
#include <iterator>
#include <string>

#include "base/random.h"

namespace rowan {

// Random text of well-formed UTF-8 from every part of Unicode, with runs, or of any bytes.
inline std::string random_text(Random& random, bool valid) {
  std::string text;
  size_t length = random.below(60);
  for (size_t i = 0; i < length; ++i) {
    std::string unit;
    uint64_t kind = random.below(10);
    if (!valid && kind < 3) {
      unit = std::string(1, static_cast<char>(random.below(256)));
    } else if (kind < 5) {
      const char* common[] = {" ", "  ", "\n", "\t",     "'s",     "'ll", "'", "a", "The",  "é",
                              "ß", "中", "½",  "\u00a0", "\u2003", "😀",   "9", "!", "\r\n", "\u0301"};
      unit = common[random.below(std::size(common))];
    } else {
      uint32_t code = static_cast<uint32_t>(random.below(kind < 8 ? 0x80 : kind < 9 ? 0x3000 : 0x110000));
      if (code >= 0xd800 && code < 0xe000) code = 'x';
      if (code < 0x80)
        unit = {static_cast<char>(code)};
      else if (code < 0x800)
        unit = {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 63))};
      else if (code < 0x10000)
        unit = {static_cast<char>(0xe0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 63)),
                static_cast<char>(0x80 | (code & 63))};
      else
        unit = {static_cast<char>(0xf0 | code >> 18), static_cast<char>(0x80 | (code >> 12 & 63)),
                static_cast<char>(0x80 | (code >> 6 & 63)), static_cast<char>(0x80 | (code & 63))};
    }
    for (uint64_t n = random.below(8) == 0 ? random.below(40) : 1; n > 0; --n) text += unit;
  }
  return text;
}

}  // namespace rowan
