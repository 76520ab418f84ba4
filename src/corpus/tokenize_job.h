// The work of `rowan tokenize`: from raw text to a folder of shards.
//
// Workers take batches of records, tokenize them in parallel, and write them in the order of the input, so the output
// does not depend on the number of workers. progress.json records what is written, so a later job can resume.
// manifest.json replaces progress.json when the job is done. A later job with further inputs adds shards for these
// inputs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "corpus/raw_text.h"
#include "data/shard_format.h"
#include "tokenizer/tokenizer.h"

namespace rowan {

// Which documents or tokens become validation data. Documents are counted from 0 over all inputs; skipped documents
// do not count.
struct ValidationRule {
  enum Kind { none, every, documents, tokens, hash, last } kind = none;
  // If kind is `every`, document i is held out if i % count == 0. If kind is `documents` or `tokens`, the first `count`
  // documents or tokens are held out.
  uint64_t count = 0;
  // If kind is `hash`, documents with Hash64 < fraction * 2^64 are held out. If kind is `last`, this fraction of the
  // text is held out, at the end of the text.
  double fraction = 0;

  // Parses "none", "every:N", "documents:N", "tokens:N", "hash:FRACTION" or "last:PERCENT%". Throws Error for any
  // other text.
  static ValidationRule parse(const std::string& text);
};

struct TokenizeOptions {
  std::vector<std::string> inputs;             // paths in order; "-" is standard input
  std::vector<std::string> validation_inputs;  // read after the inputs; all their text is validation data
  std::string out;                             // the output folder
  TextFormat format = TextFormat::by_name;
  TextSplit split = TextSplit::file;
  std::string field = "text";          // the key of the text in JSON objects
  std::optional<shard::EndPlace> end;  // default: `after` for sentencepiece (as GaLore), else `before` (as llm.c)
  std::string validation = "none";
  uint64_t shard_tokens = 100'000'000;
  int threads = 1;
  bool strict = false;       // throw Error instead of skipping a document
  double save_seconds = 30;  // seconds between updates of progress.json
};

struct TokenizeProgress {
  uint64_t input_bytes = 0;  // raw bytes of the inputs read so far
  uint64_t text_bytes = 0, documents = 0, tokens = 0;
};

// The records skipped for one reason.
struct Skipped {
  uint64_t count = 0;
  std::string first;  // place and details of the first record
};

using AllSkipped = std::map<std::string, Skipped>;  // by reason
// "; COUNT skipped: REASON (first PLACE)" for each reason, for the end of an error message.
std::string text_of(const AllSkipped& skipped);

struct TokenizeResult {
  TokenizeProgress total;
  AllSkipped skipped;
  uint64_t validation_tokens = 0;  // number of validation tokens among total.tokens
  // Inputs that hold bytes of which no document came, such as a file with one JSON list of all documents.
  std::vector<std::string> without_documents;
  bool already_done = false;
};

// Lines that say what was left out: inputs without documents, and the records skipped for each reason.
std::vector<std::string> left_out(const TokenizeResult& result);

// Tokenizes the inputs. Calls `progress` at the start and after every batch, from one thread at a time. If the folder
// already holds the finished shards, checks them instead (header, size, checksum and document index of every shard),
// then adds shards for inputs that the finished shards lack.
//
// Throws Error for example if an input or a shard is damaged, if the disk is full, if tokens in the folder (finished
// shards or not) were made with other settings or from other text, if another process writes to the folder
// (base/folder_lock.h), or if every document is skipped.
TokenizeResult tokenize(const TokenizeOptions& options, const Tokenizer& tokenizer,
                        const std::function<void(const TokenizeProgress&)>& progress);

}  // namespace rowan
