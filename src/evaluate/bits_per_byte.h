// Losses in bits per byte of the underlying text. Unlike losses in nats per token, they can be compared between
// tokenizers. The losses of end tokens are included, although end tokens represent no bytes.
//
// The bytes are those that the tokens represent. They differ from those of the text in three cases:
// - An unknown token represents 0 bytes, whatever text it replaced.
// - The tokens of a tokenizer that normalizes, such as T5's, represent the normalized text, which is often shorter.
// - A tokenizer with a dummy prefix, such as LLaMA's, adds a byte to each document, the space before it.
#pragma once

#include <cstdint>

#include "evaluate/validation.h"

namespace rowan {

class Tokenizer;

struct TargetText {
  int64_t bytes = 0;    // bytes of text that the targets represent
  int64_t unknown = 0;  // targets other than end tokens that represent no bytes: unknown tokens
};
TargetText text_of_targets(const ValidationSet& data, const Tokenizer& tokenizer);

// Bits per byte of a loss over targets that represent `bytes` bytes; NaN if `bytes` is 0.
double bits_per_byte(const ValidationLosses& losses, int64_t bytes);

}  // namespace rowan
