// Tokenizers from Hugging Face's tokenizer.json: byte pair encoding and unigram models, with their normalizers and
// pre-tokenizers.
#pragma once

#include <filesystem>
#include <memory>

#include "tokenizer/tokenizer.h"

namespace rowan {

// `path` is a tokenizer.json, or its folder. The end token is the eos_token of the tokenizer_config.json in the same
// folder. If there is no eos_token, the end token is an added token with a usual name, such as </s>. Templates that add
// tokens around a text are not applied, and special tokens are not recognized in text. A special token that is also an
// ordinary token of the model, such as "!", is read as the ordinary one. Text that is not UTF-8 is refused, and so is a
// character that is no piece of a unigram model without unknown piece. Throws Error naming file and field for a kind of
// model, normalizer or pre-tokenizer that Rowan does not read.
std::unique_ptr<Tokenizer> make_huggingface(const std::filesystem::path& path);

}  // namespace rowan
