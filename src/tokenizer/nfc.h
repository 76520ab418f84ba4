// Normalization form C (Unicode Standard Annex 15): a character with marks is written in only one way, composed where
// the standard allows it. Qwen's tokenizers, for example, normalize text to this form.
#pragma once

#include <string>
#include <string_view>

namespace rowan {

// Returns `text`, which is UTF-8, in form C.
std::string nfc(std::string_view text);

}  // namespace rowan
