// Tokenizers in the form of Hugging Face's tokenizer.json: byte pair encoding and unigram models, with the steps that
// divide text for them.
#pragma once

#include <filesystem>
#include <memory>

#include "tokenizer/tokenizer.h"

namespace rowan {

// `path`: a tokenizer.json, or its folder. The end token is the eos_token of the tokenizer_config.json beside it, or
// the added token that bears one of the usual names. Templates that lay tokens around a text are not applied, and
// special tokens are not recognised in it. Text that is not UTF-8 is refused. Throws Error naming file and field for a
// kind of model or a step that there is not here.
std::unique_ptr<Tokenizer> make_huggingface(const std::filesystem::path& path);

}  // namespace rowan
