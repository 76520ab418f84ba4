#include "corpus/raw_text.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/error.h"

namespace rowan {
namespace {

enum class TextKind { text, json, unknown };

TextKind kind_of(std::string_view name) {
  for (std::string_view suffix : {".gz", ".zst", ".zstd"})
    if (has_suffix(name, suffix)) name.remove_suffix(suffix.size());
  for (std::string_view suffix : {".jsonl", ".ndjson", ".json"})
    if (has_suffix(name, suffix)) return TextKind::json;
  for (std::string_view suffix : {".txt", ".md"})
    if (has_suffix(name, suffix)) return TextKind::text;
  return TextKind::unknown;
}

bool is_json(const std::string& path, TextFormat format) {
  if (format != TextFormat::by_name) return format == TextFormat::jsonl;
  if (path == "-") return true;
  const TextKind kind = kind_of(path);
  if (kind != TextKind::unknown) return kind == TextKind::json;
  if (has_suffix(path, ".parquet"))
    fail("{}: pipe parquet through scripts/parquet_text.py into `rowan tokenize ... -`", path);
  fail(
      "{}: expected .txt, .md, .jsonl, .ndjson or .json (each may be followed by .gz or .zst); name the format with "
      "--format",
      path);
}

}  // namespace

RawReader::RawReader(std::vector<std::string> inputs, TextFormat format, TextSplit split, size_t longest)
    : inputs_(std::move(inputs)), split_(split), longest_(longest) {
  for (const std::string& path : inputs_) json_.push_back(is_json(path, format));
}

std::vector<uint64_t> text_sizes(const std::vector<std::string>& paths) {
  std::vector<uint64_t> sizes;
  std::vector<char> buffer(size_t{1} << 18);
  for (const std::string& path : paths) {
    TextStream stream(path);
    uint64_t size = stream.compressed() ? 0 : std::filesystem::file_size(path);
    if (stream.compressed())
      for (size_t got; (got = stream.read(buffer.data(), buffer.size())) > 0;) size += got;
    sizes.push_back(size);
  }
  return sizes;
}

std::string name_of_input(const std::string& path) { return path == "-" ? "standard input" : path; }

bool has_text_name(const std::string& path) { return kind_of(path) != TextKind::unknown; }

void RawReader::cut_at(uint64_t byte, std::vector<uint64_t> sizes) {
  cut_ = byte;
  text_sizes_ = std::move(sizes);
}

// The position in pending_ at which to cut the record that begins at `begin`. Returns npos if the record needs no cut,
// if the cut would be at the end of pending_, or if more bytes must be read to find the position.
size_t RawReader::find_cut(size_t begin, bool ended) const {
  constexpr size_t window = size_t{1} << 16;
  if (json_[source_] || split_ != TextSplit::file || cut_ <= text_bytes_ + begin) return std::string::npos;
  const uint64_t at = cut_ - text_bytes_ - 1;  // the byte before cut_, because a line may end there
  if (at >= pending_.size() || (!ended && pending_.size() - at < window)) return std::string::npos;
  const std::string_view near = std::string_view(pending_).substr(at, window);
  size_t next = 1;
  if (size_t line = near.find('\n'), word = near.find(' '); line != std::string_view::npos)
    next = line + 1;
  else if (word != std::string_view::npos)
    next = word + 1;
  else
    while (next < near.size() && (near[next] & 0xc0) == 0x80) ++next;
  return at + next < pending_.size() ? at + next : std::string::npos;
}

// Searches pending_ for the end of a record, beginning at position `from`. Returns npos if there is no such end.
size_t RawReader::find_end(size_t from) const {
  if (json_[source_] || split_ == TextSplit::line) {
    size_t at = pending_.find('\n', from);
    return at == std::string::npos ? at : at + 1;
  }
  if (split_ == TextSplit::file) return std::string::npos;
  const std::string_view text = pending_;
  for (size_t at = text.find('\n', from); at != std::string::npos; at = text.find('\n', at + 1)) {
    const std::string_view rest = text.substr(at + 1);
    if (rest.starts_with('\n')) return at + 2;
    if (rest.starts_with("\r\n")) return at + 3;
  }
  return std::string::npos;
}

bool RawReader::next(RawBatch& batch, uint64_t most) {
  constexpr size_t size = size_t{1} << 20, chunk = size_t{1} << 18;
  if (source_ == inputs_.size()) return false;
  if (!stream_) stream_.emplace(inputs_[source_]);
  batch.ends.clear();
  batch.source = source_;
  batch.first_record = record_;
  batch.json = json_[source_];
  batch.last_of_source = false;
  batch.first_byte = text_bytes_;

  size_t end = 0;  // end of the complete records found so far
  while (end < size && batch.ends.size() < most && !batch.last_of_source) {
    size_t found = std::min(find_end(std::max(end, scanned_)), find_cut(end, false));
    if (found != std::string::npos) {
      batch.ends.push_back(end = found);
      continue;
    }
    // The bytes of an empty line may have been read only in part, so the last two bytes are searched again.
    scanned_ = std::max(end, pending_.size() - std::min<size_t>(pending_.size(), 2));
    if (pending_.size() - end > longest_)
      fail("{}: record {}: found more bytes than the limit of {}{}", name_of_input(inputs_[source_]),
           record_ + batch.ends.size() + 1, longest_,
           json_[source_] || split_ != TextSplit::file ? "" : "; --split line or blank makes documents of its parts");
    size_t used = pending_.size();
    pending_.resize(used + chunk);
    size_t got = stream_->read(pending_.data() + used, chunk);
    pending_.resize(used + got);
    if (got > 0) continue;
    batch.last_of_source = true;
    if (size_t cut = find_cut(end, true); cut != std::string::npos) batch.ends.push_back(end = cut);
    if (used > end) batch.ends.push_back(end = used);
  }
  batch.source_bytes = stream_->raw_bytes();
  batch.source_hash = stream_->raw_hash();
  batch.total_bytes = finished_bytes_ + batch.source_bytes;
  record_ += batch.ends.size();
  batch.bytes.assign(pending_, 0, end);
  pending_.erase(0, end);
  text_bytes_ += end;
  scanned_ -= std::min(scanned_, end);

  if (batch.last_of_source) {
    finished_bytes_ += batch.source_bytes;
    stream_.reset();
    ++source_;
    record_ = 0;
    scanned_ = 0;
  }
  return true;
}

Hash64 RawReader::seek(size_t source, uint64_t record) {
  Hash64 passed;
  source_ = source;
  for (size_t i = 0; i < source; ++i)
    if (inputs_[i] != "-") finished_bytes_ += std::filesystem::file_size(inputs_[i]);
  for (size_t i = 0; i < std::min(source, text_sizes_.size()); ++i) text_bytes_ += text_sizes_[i];
  RawBatch batch;
  while (record_ < record) {
    if (!next(batch, record - record_) || batch.last_of_source)
      fail("{}: found {} records, but an earlier run read more: the text has changed", name_of_input(inputs_[source]),
           batch.first_record + batch.ends.size());
    passed.add(batch.bytes);
  }
  return passed;
}

}  // namespace rowan
