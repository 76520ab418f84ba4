// Raw text of any size as batches of records: the lines of JSONL files, or the documents of plain text files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/enum_names.h"
#include "corpus/text_stream.h"

namespace rowan {

enum class TextFormat {
  by_name,  // .txt and .md, or .jsonl, .ndjson and .json; each may be followed by .gz or .zst; standard input is JSONL
  text,
  jsonl,
};
constexpr auto names_of(TextFormat) { return enum_names("auto", "text", "jsonl"); }

// Where plain text is cut into documents.
enum class TextSplit {
  file,   // not at all: a file is a document
  blank,  // after every empty line (\n\n or \n\r\n), which stays with the document it ends
  line,   // at every newline, which belongs to no document
};
constexpr auto names_of(TextSplit) { return enum_names("file", "blank", "line"); }

// Consecutive records of one source. Together the batches of a source hold all its bytes, in order.
struct RawBatch {
  size_t source = 0;          // index into the list of inputs
  uint64_t first_record = 0;  // counted from 0 in the source; for JSONL the line number less one
  uint64_t first_byte = 0;    // of the text of all sources; where the first record begins
  bool json = false;
  std::string bytes;         // the records one after the other, newlines included
  std::vector<size_t> ends;  // of each record in `bytes`
  bool last_of_source = false;
  uint64_t source_bytes = 0, source_hash = 0;  // of the file on disk up to here; complete when last_of_source
  uint64_t total_bytes = 0;                    // on disk, of all sources up to here

  std::string_view record(size_t i) const {
    size_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(bytes).substr(begin, ends[i] - begin);
  }
};

// A record longer than this is an error, not memory without end.
constexpr size_t longest_record = size_t{1} << 30;

// Bytes of text, before compression, in each file. Reads all of a compressed one.
std::vector<uint64_t> text_sizes(const std::vector<std::string>& paths);

// Whether by_name knows what a file of this name holds.
bool has_text_name(const std::string& path);

class RawReader {
 public:
  // `inputs` are paths, or "-" for the standard input.
  RawReader(std::vector<std::string> inputs, TextFormat format, TextSplit split);

  // A plain text that is one document and goes on past this byte of all the text becomes two, cut at the end of a line
  // or word soon after it. `sizes`: those of the text of each input.
  void cut_at(uint64_t byte, std::vector<uint64_t> sizes);

  // The next batch of about a MiB, or of one record if that is longer, and of `most` records at most; false at the end
  // of the last source. Throws Error naming the file.
  bool next(RawBatch& batch, uint64_t most = UINT64_MAX);
  // Bytes on disk read so far, of all sources.
  uint64_t total_bytes() const { return finished_bytes_ + (stream_ ? stream_->raw_bytes() : 0); }
  // Starts at a record of a source, reading over what stands before it in that source.
  void seek(size_t source, uint64_t record);

 private:
  std::vector<std::string> inputs_;
  std::vector<bool> json_;
  TextSplit split_;
  size_t source_ = 0;
  uint64_t record_ = 0, finished_bytes_ = 0;
  std::optional<TextStream> stream_;
  std::string pending_;  // bytes read and not handed out
  size_t scanned_ = 0;   // bytes of pending_ known to hold no end of a record

  uint64_t cut_ = UINT64_MAX, text_bytes_ = 0;  // of the text before pending_
  std::vector<uint64_t> text_sizes_;

  size_t find_end(size_t from) const;
  size_t find_cut(size_t begin, bool ended) const;
};

}  // namespace rowan
