// Losses in bits for each byte of the text behind the tokens: unlike nats a token, that can be compared between
// tokenizers. End tokens stand for no bytes, but what they cost counts.
#pragma once

#include <cstdint>

#include "evaluate/validation.h"
#include "tokenizer/tokenizer.h"

namespace rowan {

// Bytes of text that the targets of `data` stand for.
int64_t target_bytes(const ValidationSet& data, const Tokenizer& tokenizer);

// Of a loss over the targets that stand for `bytes`; not a number when there are none.
double bits_per_byte(const ValidationLosses& losses, int64_t bytes);

}  // namespace rowan
