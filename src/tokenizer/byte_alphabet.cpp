#include "tokenizer/byte_alphabet.h"

#include "tokenizer/utf8.h"

namespace rowan {

ByteAlphabet::ByteAlphabet() {
  byte_of_.fill(-1);
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
    const uint32_t code = printable ? byte : next++;
    byte_of_[code] = static_cast<int>(byte);
    append_utf8(text_of_[byte], code);
  }
}

// All characters of the alphabet are below U+0800: one or two bytes of UTF-8.
std::optional<std::string> ByteAlphabet::decode(std::string_view text) const {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned code = static_cast<unsigned char>(text[i]);
    if (code >= 0x80) {
      if ((code & 0xe0) != 0xc0 || i + 1 == text.size()) return std::nullopt;
      code = (code & 0x1f) << 6 | (static_cast<unsigned char>(text[++i]) & 0x3f);
    }
    if (code >= byte_of_.size() || byte_of_[code] < 0) return std::nullopt;
    bytes += static_cast<char>(byte_of_[code]);
  }
  return bytes;
}

std::string ByteAlphabet::encode(std::string_view bytes) const {
  std::string text;
  for (char c : bytes) text += text_of_[static_cast<unsigned char>(c)];
  return text;
}

}  // namespace rowan
