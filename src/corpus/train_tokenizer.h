// Trains a sentencepiece model on text files, with the trainer of the sentencepiece library.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "corpus/raw_text.h"
#include "corpus/tokenize_job.h"

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
// piece, so no text is unknown. `skipped` counts the records that are left out, whole or in part: lines of JSON as in
// tokenize_batch(), and lines that are not UTF-8. Throws Error if there is no text, if the text does not yield
// `vocabulary` ids, or if the build has no trainer.
std::string train_tokenizer(const TokenizerTraining& training, AllSkipped& skipped);

}  // namespace rowan
