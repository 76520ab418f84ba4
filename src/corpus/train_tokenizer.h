// Trains a sentencepiece model on text files, with the trainer of the sentencepiece library.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "corpus/raw_text.h"

namespace rowan {

struct TokenizerTraining {
  std::vector<std::string> inputs;  // input paths, as for RawReader
  TextFormat format = TextFormat::by_name;
  std::string field = "text";  // the key of the text in JSON objects
  bool bpe = true;             // false: unigram
  int64_t vocabulary = 8000;   // number of ids: pieces, 256 bytes, <unk>, <s> and </s>
  int threads = 1;
};

// Returns the content of the model file. The model replaces no characters and keeps repeated spaces. Every byte is a
// piece, so no text is unknown. Throws Error if there is no text, if the text does not yield `vocabulary` ids, or if
// the build has no trainer.
std::string train_tokenizer(const TokenizerTraining& training);

}  // namespace rowan
