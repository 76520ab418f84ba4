// Makes random text for property tests of tokenizers.
#pragma once

#include <cstdint>
#include <iterator>
#include <string>

#include "base/random.h"
#include "tokenizer/utf8.h"

namespace rowan {

// Random text from the whole range of Unicode, with some characters repeated. If `valid`, the text is valid UTF-8, else
// it may contain any bytes.
inline std::string random_text(Random& random, bool valid) {
  std::string text;
  size_t length = random.below(60);
  for (size_t i = 0; i < length; ++i) {
    std::string unit;
    uint64_t kind = random.below(10);
    if (!valid && kind < 3) {
      unit.push_back(static_cast<char>(random.below(256)));
    } else if (kind < 5) {
      const char* common[] = {" ", "  ", "\n", "\t",     "'s",     "'ll", "'", "a", "The",  "é",
                              "ß", "中", "½",  "\u00a0", "\u2003", "😀",   "9", "!", "\r\n", "\u0301"};
      unit.append(common[random.below(std::size(common))]);
    } else {
      uint32_t code = static_cast<uint32_t>(random.below(kind < 8 ? 0x80 : kind < 9 ? 0x3000 : 0x110000));
      if (code >= 0xd800 && code < 0xe000) code = 'x';
      append_utf8(unit, code);
    }
    for (uint64_t n = random.below(8) == 0 ? random.below(40) : 1; n > 0; --n) text += unit;
  }
  return text;
}

}  // namespace rowan
