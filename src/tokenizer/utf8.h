// Checks UTF-8, and reads and writes its code points (RFC 3629: no overlong forms, no surrogates).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rowan {

constexpr uint32_t code_points = 0x110000;

// The offset of the first byte sequence that is not valid UTF-8, or text.size().
size_t first_invalid_utf8(std::string_view text);
// Throws Error naming this offset if the text is not valid UTF-8.
void refuse_invalid_utf8(std::string_view text);

// Appends a code point that is not a surrogate.
void append_utf8(std::string& text, uint32_t code);

// Reads the code point at text[at] into `code` and sets `next` to the position after it. Returns false if the bytes are
// not valid UTF-8.
bool read_utf8(std::string_view text, size_t at, uint32_t& code, size_t& next);

}  // namespace rowan
