// Making a sentencepiece model of one's own text, with the library's trainer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "corpus/raw_text.h"

namespace rowan {

struct TokenizerTraining {
  std::vector<std::string> inputs;  // as RawReader takes them
  TextFormat format = TextFormat::by_name;
  std::string field = "text";  // of the JSON objects
  bool bpe = true;             // else unigram
  int64_t vocabulary = 8000;   // ids: pieces, 256 bytes, <unk>, <s> and </s>
  int threads = 1;
};

// The model's file. Text is taken as it is: no normalization, spaces are kept, and every byte is a piece, so that
// nothing is unknown. Throws Error for a text that has not so many pieces, or a build without the trainer.
std::string train_tokenizer(const TokenizerTraining& training);

}  // namespace rowan
