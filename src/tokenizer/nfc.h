// Normalization form C (Unicode Standard Annex 15): a character with marks is written in only one way, composed if a
// composed character exists. The tokenizers of Qwen and others normalize text to this form.
#pragma once

#include <string>
#include <string_view>

namespace rowan {

// Returns `text`, which is UTF-8, in form C.
std::string nfc(std::string_view text);

}  // namespace rowan
