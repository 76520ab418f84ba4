// From raw text to a folder of shards: the whole work of `rowan tokenize`.
//
// Workers take batches of records in turn, turn them into tokens at the same time, and hand them over in the order of
// the input, so the output does not depend on their number. What is durable is noted in progress.json; a run that
// finds it continues there. When all is done manifest.json takes its place. Given further inputs beside those of
// finished shards, it adds shards of these.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "corpus/raw_text.h"
#include "data/shard_format.h"
#include "tokenizer/tokenizer.h"

namespace rowan {

// Which documents, or tokens, become validation data. Documents are counted from 0 over all inputs, without the
// skipped ones.
struct ValidationRule {
  enum Kind { none, every, documents, tokens, hash, last } kind = none;
  uint64_t count = 0;   // every: document i with i % count == 0; documents, tokens: the first `count`
  double fraction = 0;  // hash: documents whose Hash64 lies in this lowest part of all values; last: that of the text

  // "none", "every:N", "documents:N", "tokens:N", "hash:FRACTION" or "last:PERCENT%"; throws Error for anything else.
  static ValidationRule parse(const std::string& text);
};

struct TokenizeOptions {
  std::vector<std::string> inputs;             // in order; "-" is the standard input
  std::vector<std::string> validation_inputs;  // after them: all of these is validation data
  std::string out;                             // folder
  TextFormat format = TextFormat::by_name;
  TextSplit split = TextSplit::file;
  std::string field = "text";          // of the JSON objects
  std::optional<shard::EndPlace> end;  // none: after for sentencepiece (as GaLore), before for the others (as llm.c)
  std::string validation = "none";
  uint64_t shard_tokens = 100'000'000;
  int threads = 1;
  bool strict = false;       // stop at the first document that would be skipped
  double save_seconds = 30;  // between two notes in progress.json
};

struct TokenizeProgress {
  uint64_t input_bytes = 0;  // on disk, this far
  uint64_t text_bytes = 0, documents = 0, tokens = 0;
};

// Skipped documents of one reason.
struct Skipped {
  uint64_t count = 0;
  std::string first;  // where, and details
};

struct TokenizeResult {
  TokenizeProgress total;
  std::map<std::string, Skipped> skipped;
  uint64_t validation_tokens = 0;  // of total.tokens
  bool already_done = false;
};

// Calls `progress` at the start and after every batch, from one thread at a time. A folder where the same work is
// finished is checked instead: every shard's header, size, checksum and document index; with further inputs in the
// list, their shards follow. Throws Error on damaged input, a full disk, a damaged shard, an unfinished or finished run
// with other settings in the folder, another process that writes there (base/folder_lock.h), or when no document is
// left.
TokenizeResult tokenize(const TokenizeOptions& options, const Tokenizer& tokenizer,
                        const std::function<void(const TokenizeProgress&)>& progress);

}  // namespace rowan
