// GPT-2's mapping of bytes to visible characters, which published JSON files of byte-level vocabularies use. Bytes that
// are visible characters in Latin-1 map to themselves; the others map to U+0100, U+0101, ... in order.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace rowan {

class ByteAlphabet {
 public:
  ByteAlphabet();

  // The bytes that a text in this alphabet represents; nullopt if the text contains other characters.
  std::optional<std::string> decode(std::string_view text) const;
  std::string encode(std::string_view bytes) const;

 private:
  std::array<int, 0x144> byte_of_;
  std::array<std::string, 256> text_of_;
};

}  // namespace rowan
