// Tokenizers of the sentencepiece library: T5's unigram model and LLaMA's BPE.
#pragma once

#include <filesystem>
#include <memory>

#include "tokenizer/tokenizer.h"

namespace rowan {

// The model's own normalization applies (T5's collapses white space and loses newlines). Text that is not UTF-8 is
// refused, because the library would replace it. Throws Error for a damaged model, for one without an end token </s>,
// or if the build has no sentencepiece.
std::unique_ptr<Tokenizer> make_sentencepiece(const std::filesystem::path& file);

}  // namespace rowan
