// The published JSON forms of byte-level vocabularies write every byte as a printable character: those that are
// printable in Latin-1 as themselves, the rest as U+0100, U+0101, ... in order.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace rowan {

class ByteAlphabet {
 public:
  ByteAlphabet();

  // The bytes that a text in this alphabet stands for; nothing for one with other characters.
  std::optional<std::string> decode(std::string_view text) const;
  std::string encode(std::string_view bytes) const;

 private:
  std::array<int, 0x144> byte_of_;
  std::array<std::string, 256> text_of_;
};

}  // namespace rowan
