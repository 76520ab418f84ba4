// Hugging Face's tokenizers search with Oniguruma, whose expressions (github.com/kkos/oniguruma, doc/RE) look like
// those of PCRE2, but some of them match other text.
#pragma once

#include <string>
#include <string_view>

namespace rowan {

// An expression for Pattern that matches what Oniguruma matches with `expression`. Throws Error naming the construct
// and its byte, counted from 1, for one that this function does not know to translate exactly.
std::string from_oniguruma(std::string_view expression);

}  // namespace rowan
