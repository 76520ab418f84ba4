// Tokenizes one batch of records: the part of tokenize_job.h that runs in parallel.
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
  uint64_t begin = 0;  // offset of its record in the concatenated text of all sources
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

// Tokenizes a batch. Skips blank lines, lines that are not a JSON object with a string at `field`, and documents
// without text or without tokens. Also skips JSON strings that are not Unicode (invalid UTF-8, or a lone surrogate) and
// text that the tokenizer refuses. `field` is the key of the text in JSON. `lines` says whether each record of plain
// text is a line. `end` is where the end token of each document goes.
TokenizedBatch tokenize_batch(const RawBatch& raw, const std::string& field, bool lines, const Tokenizer& tokenizer,
                              shard::EndPlace end);

}  // namespace rowan
