#include "corpus/hard_text.h"

#include "base/random.h"
#include "tokenizer/utf8.h"

namespace rowan {

std::vector<HardText> hard_texts(size_t bytes) {
  Random random(20, 0);
  // A text of random code points in [first, first + count).
  auto drawn = [&](uint32_t first, uint64_t count) {
    std::string text;
    while (text.size() + 4 <= bytes) append_utf8(text, first + static_cast<uint32_t>(random.below(count)));
    return text;
  };
  return {{"one letter", std::string(bytes, 'a')},
          {"one emoji", drawn(0x1f600, 1)},
          {"one space", std::string(bytes, ' ')},
          {"spaces, then a letter", std::string(bytes - 1, ' ') + 'a'},
          {"line ends", std::string(bytes, '\n')},
          {"no spaces", drawn('a', 26)},
          {"digits", drawn('0', 10)},
          {"punctuation", drawn('!', 15)},
          {"Chinese", drawn(0x4e00, 20000)},
          {"rare characters", drawn(0x13000, 1000)}};
}

}  // namespace rowan
