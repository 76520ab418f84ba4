// One batch of records turned into tokens: what a worker of tokenize_job.h does on its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/raw_text.h"
#include "data/shard_format.h"
#include "tokenizer/tokenizer.h"

namespace rowan {

struct TokenizedDocument {
  size_t tokens = 0;   // the end token included
  uint64_t hash = 0;   // Hash64 of the text
  uint64_t begin = 0;  // of its record, in the text of all sources
};

struct SkippedRecord {
  uint64_t record = 0;  // index in the source
  std::string reason;   // one of few
  std::string detail;
};

struct TokenizedBatch {
  std::vector<int32_t> ids;  // of all documents, one after the other
  std::vector<TokenizedDocument> documents;
  std::vector<SkippedRecord> skipped;
  uint64_t text_bytes = 0;
};

// Skipped are: blank lines, lines that are no JSON object with a string under `field`, documents without text, text
// that is not Unicode (invalid UTF-8 or a lone surrogate in JSON) or that the tokenizer refuses.
TokenizedBatch tokenize_batch(const RawBatch& raw, const std::string& field, bool lines, const Tokenizer& tokenizer,
                              shard::EndPlace end);

}  // namespace rowan
