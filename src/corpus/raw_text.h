// Reads raw text of any size as batches of records: the lines of JSONL files, or the documents of plain text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/enum_names.h"
#include "base/files.h"
#include "corpus/text_stream.h"

namespace rowan {

enum class TextFormat {
  // From the name of the file. Text: .txt, .md. JSONL: .jsonl, .ndjson, .json. Each may be followed by .gz, .zst or
  // .zstd. Standard input is JSONL.
  by_name,
  text,
  jsonl,
};
constexpr auto names_of(TextFormat) { return enum_names("auto", "text", "jsonl"); }

// How plain text is split into documents.
enum class TextSplit {
  file,  // a file is one document
  // Split after every empty line (\n\n or \n\r\n); the empty line belongs to the document before it. A further empty
  // line begins the next record, as in llm.c; a record of empty lines only is no document (tokenize_batch()).
  blank,
  line,  // split at every newline; the newline belongs to no document
};
constexpr auto names_of(TextSplit) { return enum_names("file", "blank", "line"); }

// Consecutive records of one source (input file). The batches of a source together contain all its text, in order.
struct RawBatch {
  size_t source = 0;          // index in the list of inputs
  uint64_t first_record = 0;  // number of the first record in the source, from 0; in JSONL, the line number minus 1
  uint64_t first_byte = 0;    // offset of the first record in the concatenated text of all sources
  bool json = false;
  std::string bytes;         // the records back to back, including newlines
  std::vector<size_t> ends;  // end of each record in `bytes`
  bool last_of_source = false;
  // The raw bytes of the source consumed so far, and their hash, which is valid if last_of_source. Raw bytes are the
  // bytes of the file itself, compressed or not.
  uint64_t source_bytes = 0, source_hash = 0;
  uint64_t total_bytes = 0;  // raw bytes consumed so far from all sources

  std::string_view record(size_t i) const {
    size_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(bytes).substr(begin, ends[i] - begin);
  }
};

// The usual limit on a record in bytes, which bounds memory. It is checked between reads, so a record may exceed it by
// one read.
constexpr size_t longest_record = size_t{1} << 30;

// The uncompressed size of each file in bytes. Compressed files are decompressed to count their bytes.
std::vector<uint64_t> text_sizes(const std::vector<std::string>& paths);

// An input as messages name it.
std::string name_of_input(const std::string& path);

// Whether TextFormat::by_name recognizes this file name.
bool has_text_name(const std::string& path);

class RawReader {
 public:
  // `inputs` are paths, or "-" for standard input. `longest` is the limit on a record in bytes.
  RawReader(std::vector<std::string> inputs, TextFormat format, TextSplit split, size_t longest = longest_record);

  // Splits the plain-text document that contains `byte` in two, soon after `byte`: at the end of a line, else after a
  // space, else between two characters. `byte` is an offset in the concatenated inputs. Has an effect only with
  // TextSplit::file. `sizes` are the text_sizes() of all inputs.
  void cut_at(uint64_t byte, std::vector<uint64_t> sizes);

  // Reads the next batch: about 1 MiB, or one record if that is longer, and at most `most` records. Returns false at
  // the end of the last source. Throws Error naming the file.
  bool next(RawBatch& batch, uint64_t most = UINT64_MAX);
  // The raw bytes consumed so far from all sources.
  uint64_t total_bytes() const { return finished_bytes_ + (stream_ ? stream_->raw_bytes() : 0); }
  // Moves to a record of a source: reads and discards the records before it. Returns the hash of their bytes. Throws
  // Error if the source has fewer records. A `record` above 0 needs a source.
  Hash64 seek(size_t source, uint64_t record);

 private:
  std::vector<std::string> inputs_;
  std::vector<bool> json_;
  TextSplit split_;
  size_t longest_;
  size_t source_ = 0;
  uint64_t record_ = 0, finished_bytes_ = 0;
  std::optional<TextStream> stream_;
  std::string pending_;  // bytes read but not yet returned in a batch
  size_t scanned_ = 0;   // number of leading bytes of pending_ that contain no end of a record

  // cut_ is the argument of cut_at(). text_bytes_ is the number of bytes of text before pending_.
  uint64_t cut_ = UINT64_MAX, text_bytes_ = 0;
  std::vector<uint64_t> text_sizes_;

  size_t find_end(size_t from) const;
  size_t find_cut(size_t begin, bool ended) const;
};

}  // namespace rowan
