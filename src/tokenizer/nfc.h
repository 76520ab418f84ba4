// Normalization form C (Unicode Standard Annex 15): characters and the marks on them in one spelling, composed where
// there is a composed character. Tokenizers of Qwen and others read text in this form.
#pragma once

#include <string>
#include <string_view>

namespace rowan {

// `text` is UTF-8.
std::string nfc(std::string_view text);

}  // namespace rowan
