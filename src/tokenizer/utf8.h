// UTF-8: checking, reading and writing code points (RFC 3629: no overlong forms, no surrogates).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rowan {

constexpr uint32_t code_points = 0x110000;

// The offset of the first byte that is not part of well-formed UTF-8, or text.size().
size_t first_invalid_utf8(std::string_view text);
// Throws Error naming that offset when there is one.
void refuse_invalid_utf8(std::string_view text);

// Appends a code point that is not a surrogate.
void append_utf8(std::string& text, uint32_t code);

// The code point at text[at] and where it ends, or false when the bytes there are not well-formed UTF-8.
bool read_utf8(std::string_view text, size_t at, uint32_t& code, size_t& next);

}  // namespace rowan
