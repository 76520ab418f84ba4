// Losses in bits per byte of the underlying text. Unlike nats per token they can be compared between tokenizers. End
// tokens stand for no bytes, but their loss counts.
#pragma once

#include <cstdint>

#include "evaluate/validation.h"
#include "tokenizer/tokenizer.h"

namespace rowan {

// The bytes of text that the targets of `data` represent.
int64_t target_bytes(const ValidationSet& data, const Tokenizer& tokenizer);

// Bits per byte of a loss over targets that represent `bytes`; NaN if there are none.
double bits_per_byte(const ValidationLosses& losses, int64_t bytes);

}  // namespace rowan
