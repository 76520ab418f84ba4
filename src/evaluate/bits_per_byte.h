// Losses in bits per byte of the underlying text. Unlike losses in nats per token, they can be compared between
// tokenizers. The losses of end tokens are included, although end tokens represent no bytes.
#pragma once

#include <cstdint>

#include "evaluate/validation.h"
#include "tokenizer/tokenizer.h"

namespace rowan {

// The number of bytes of text that the targets of `data` represent.
int64_t target_bytes(const ValidationSet& data, const Tokenizer& tokenizer);

// Bits per byte of a loss over targets that represent `bytes` bytes; NaN if `bytes` is 0.
double bits_per_byte(const ValidationLosses& losses, int64_t bytes);

}  // namespace rowan
