// Tokenizes one batch of records: the part of a job (tokenize_job.h) that runs in parallel.
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
  size_t tokens = 0;   // including the end token
  uint64_t hash = 0;   // Hash64 of the document's text
  uint64_t begin = 0;  // offset of the document's record in the concatenated text of all sources
};

struct SkippedRecord {
  uint64_t record = 0;  // number of the record in its source, from 0
  std::string reason;   // one of a few texts; TokenizeResult::skipped counts the records for each of them
  std::string detail;   // what the tokenizer reported, if the tokenizer refused the text
};

struct TokenizedBatch {
  std::vector<int32_t> ids;  // ids of all documents back to back
  std::vector<TokenizedDocument> documents;
  std::vector<SkippedRecord> skipped;
  uint64_t text_bytes = 0;
};

// Extracts the text of a JSON line. If the line has no text, sets the reason in `skipped` and returns false.
bool extract_text(std::string_view line, const std::string& field, std::string& text, SkippedRecord& skipped);

// Tokenizes a batch. Skips documents without text or without tokens, and text that the tokenizer refuses. Of line
// formats and --split blank it skips records of white space too, and of JSON Lines also each line that is not an object
// with a string at `field`, and each string that is not Unicode (invalid UTF-8, or a lone surrogate). `field` is the
// key of the text in JSON. `split` is how the records of plain text were split. `end` is where the end token of each
// document goes.
TokenizedBatch tokenize_batch(const RawBatch& raw, const std::string& field, TextSplit split,
                              const Tokenizer& tokenizer, shard::EndPlace end);

}  // namespace rowan
