// Normalization form C (Unicode Standard Annex 15): characters with marks are written in one way, composed if a
// composed character exists. The tokenizers of Qwen and others read text in this form.
#pragma once

#include <string>
#include <string_view>

namespace rowan {

// `text` is UTF-8.
std::string nfc(std::string_view text);

}  // namespace rowan
