// Tokenizers of the sentencepiece library, such as T5's unigram model and LLaMA's BPE.
#pragma once

#include <filesystem>
#include <memory>

#include "tokenizer/tokenizer.h"

namespace rowan {

// Applies the model's own normalization. For example, T5's model replaces each run of white space, newlines included,
// by one space. Refuses text that is not UTF-8, because the library would replace the invalid bytes. Throws Error for a
// damaged model, for a model without an end token </s>, or if the build has no sentencepiece.
std::unique_ptr<Tokenizer> make_sentencepiece(const std::filesystem::path& file);

}  // namespace rowan
