#include "data/dataset.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <span>

#include "base/error.h"
#include "base/file_identity.h"
#include "tokenizer/utf8.h"

namespace rowan {
namespace {

// The index of the last entry <= value in the ascending `bounds`. The final entry is only an end, so its index is never
// returned.
size_t find_part(const std::vector<int64_t>& bounds, int64_t value) {
  return static_cast<size_t>(std::upper_bound(bounds.begin(), bounds.end() - 1, value) - bounds.begin()) - 1;
}

// Throws Error if an id of a shard's tokens, which start at position `begin`, is not below `limit`. `what` says what
// the limit is.
void check_ids(const Shard& shard, int64_t begin, std::span<const int32_t> ids, int64_t limit, std::string_view what) {
  uint32_t largest = 0;
  for (int32_t id : ids) largest = std::max(largest, static_cast<uint32_t>(id));
  if (largest < static_cast<uint64_t>(limit)) return;
  const int64_t at = std::find(ids.begin(), ids.end(), static_cast<int32_t>(largest)) - ids.begin();
  fail("{}: token {}: found id {}, expected less than {}, {}", shard.path().string(), begin + at, largest, limit, what);
}

// Throws Error if ids of 4 bytes are read as ids of 2 bytes: then each second id is the high half of an id, mostly 0.
void check_width(const Shard& shard, int64_t vocab_size) {
  const int64_t pairs = std::min<int64_t>(shard.tokens(), 1 << 12) / 2;
  if (shard.width() != 2 || shard.format() == ShardFormat::llmc || shard.index() || shard.tokens() % 2 || pairs < 256)
    return;
  std::vector<int32_t> ids(static_cast<size_t>(2 * pairs));
  shard.copy_tokens(0, 2 * pairs, ids.data());
  bool all_zero = true;
  for (size_t i = 0; i < ids.size(); i += 2) {
    if ((int64_t{ids[i + 1]} << 16 | ids[i]) >= vocab_size) return;
    all_zero = all_zero && ids[i] == 0;
  }
  if (!all_zero)
    fail(
        "{}: found {} as every second of the first {} ids, expected ids of 2 bytes; for ids of 4 bytes set data.width "
        "to 4",
        shard.path().string(), vocab_size > 1 << 16 ? "high halves of ids" : "0", ids.size());
}

}  // namespace

Dataset::Dataset(const std::vector<std::string>& files, const ShardOptions& options, Reading reading,
                 int64_t sequence_length, int64_t vocab_size, const std::optional<DocumentConfig>& documents)
    : reading_(reading), sequence_length_(sequence_length), vocab_size_(vocab_size), end_id_(options.end_id) {
  std::set<FileIdentity> seen;
  for (const std::string& pattern : files)
    for (const std::filesystem::path& path : expand_glob(pattern)) {
      if (!seen.insert(file_identity(path)).second) fail("{}: given twice in one list of shards", path.string());
      const std::string name = path.string(), file = path.filename().string();
      if (first_invalid_utf8(file) != file.size())
        fail("{}: found the name of a file that is not valid UTF-8, which a checkpoint cannot record", name);
      const Shard& shard = shards_.emplace_back(path, options);
      const Shard& first = shards_.front();
      check_width(shard, vocab_size);
      if (shard.vocab_size() > vocab_size)
        fail("{}: found a vocabulary of {} ids, expected at most {} as in the model", name, shard.vocab_size(),
             vocab_size);
      if (tokenizer_shard().tokenizer_hash() == 0) tokenizer_shard_ = shards_.size() - 1;
      // A shard of another program names no tokenizer, and may have the same.
      if (shard.tokenizer_hash() != 0 && shard.tokenizer_hash() != tokenizer_shard().tokenizer_hash())
        fail("{}: found another tokenizer than in {}", name, tokenizer_shard().path().string());
      if (shard.end_id() != first.end_id())
        fail("{}: found end id {}, expected {} as in {}{}", name, shard.end_id(), first.end_id(), first.path().string(),
             shard.end_id() < 0 || first.end_id() < 0 ? "; data.end_id gives it for shards that do not" : "");
      offsets_.push_back(offsets_.back() + shard.tokens());
    }
  end_id_ = shards_.front().end_id();
  if (documents) check_documents(*documents);
  end_targets_ = !documents || documents->end_targets == EndTargets::counted;
  if (reading == Reading::packed)
    rows_ = std::max<int64_t>(0, (tokens() - 1 + sequence_length - 1) / sequence_length);
  else
    open_documents();
  if (rows_ == 0)
    fail("{}: found {} tokens in {} shard{}, expected enough for one row with data.reading {}",
         shards_.front().path().string(), tokens(), shards_.size(), shards_.size() == 1 ? "" : "s", name_of(reading));
  look_through(vocab_size, "the vocabulary size");
}

void Dataset::look_through(int64_t limit, std::string_view what) const {
  std::vector<int32_t> block(1 << 16);
  int64_t left = looked_through;
  for (size_t s = 0; s < shards_.size(); ++s) {
    const Shard& shard = shards_[s];
    if (shard.vocab_size() > 0) continue;
    for (int64_t begin = 0, count; begin < shard.tokens() && left > 0; begin += count, left -= count) {
      count = std::min({shard.tokens() - begin, static_cast<int64_t>(block.size()), left});
      shard.copy_tokens(begin, count, block.data());
      check_ids(shard, begin, std::span(block).first(static_cast<size_t>(count)), limit, what);
    }
  }
}

void Dataset::check_end_id(const char* key) const {
  if (end_id_ < 0 || end_id_ >= vocab_size_)
    fail("{}: {}: found end id {}, expected an id of the vocabulary, 0 to {}; set data.end_id",
         shards_.front().path().string(), key, end_id_, vocab_size_ - 1);
}

void Dataset::check_documents(const DocumentConfig& documents) const {
  check_end_id("data.documents");
  const bool first = documents.end_token == EndToken::first;
  const shard::EndPlace wanted = first ? shard::EndPlace::before : shard::EndPlace::after;
  for (const Shard& shard : shards_)
    if (shard.end_place() != wanted && shard.end_place() != shard::EndPlace::none)
      fail("{}: data.documents.end_token: found {}, expected {}, because this shard has end tokens {} its documents",
           shard.path().string(), first ? "first" : "last", first ? "last" : "first", first ? "after" : "before");
}

void Dataset::open_documents() {
  if (sequence_length_ < 2)
    fail("sequence_length: found {}, expected at least 2, because data.reading is documents", sequence_length_);
  check_end_id("data.reading documents");
  bool fresh = true;
  for (const Shard& shard : shards_) {
    documents_.push_back(shard.documents(fresh));
    first_document_.push_back(first_document_.back() + documents_.back().size());
    if (shard.tokens() > 0) fresh = shard.token(shard.tokens() - 1) == end_id_;
  }
  rows_ = first_document_.back();
}

size_t Dataset::shard_of(int64_t position) const { return find_part(offsets_, position); }

int32_t Dataset::token(int64_t position) const {
  const size_t s = shard_of(position);
  return shards_[s].token(position - offsets_[s]);
}

void Dataset::copy(Range range, int32_t* out) const {
  for (size_t s = shard_of(range.begin); range.count > 0; ++s) {
    const Shard& shard = shards_[s];
    const int64_t begin = range.begin - offsets_[s], count = std::min(range.count, shard.tokens() - begin);
    shard.copy_tokens(begin, count, out);
    check_ids(shard, begin, {out, static_cast<size_t>(count)}, vocab_size_, "the vocabulary size");
    range = {range.begin + count, range.count - count};
    out += count;
  }
}

Dataset::Range Dataset::content(int64_t document) const {
  size_t s = find_part(first_document_, document);
  int64_t begin = offsets_[s] + documents_[s].start(document - first_document_[s]);
  // A document ends where the next one starts, which may be in a later shard. The last one ends with the stream.
  int64_t end = tokens();
  if (++document < rows_) {
    s = find_part(first_document_, document);
    end = offsets_[s] + documents_[s].start(document - first_document_[s]);
  }
  if (begin < end && token(begin) == end_id_) ++begin;
  if (begin < end && token(end - 1) == end_id_) --end;
  return {begin, std::min(end - begin, sequence_length_ - 1)};
}

int64_t Dataset::read(int64_t row, int32_t* inputs, int32_t* targets) const {
  const int64_t T = sequence_length_;
  int64_t used, counted;  // used: number of inputs that are not padding; counted: number of targets inside the data
  if (reading_ == Reading::packed) {
    const int64_t begin = row * T;
    used = std::min(T, tokens() - begin);
    counted = std::min(T, tokens() - 1 - begin);
    copy({begin, used}, inputs);
    if (counted == used) copy({begin + used, 1}, targets + used - 1);
  } else {
    const Range range = content(row);
    counted = range.count;
    used = counted + 1;
    copy(range, inputs);
    inputs[counted] = end_id_;
  }
  std::copy(inputs + 1, inputs + used, targets);
  std::fill(inputs + used, inputs + T, 0);
  std::fill(targets + counted, targets + T, ignored_target);
  if (end_targets_) return counted;
  int64_t ignored = 0;
  for (int64_t i = 0; i < counted; ++i)
    if (inputs[i] == end_id_) {
      targets[i] = ignored_target;
      ++ignored;
    }
  return counted - ignored;
}

RowCount Dataset::count(int64_t row) const {
  if (reading_ == Reading::packed) {
    const int64_t begin = row * sequence_length_, left = tokens() - begin;
    RowCount result{std::min(sequence_length_, left), std::min(sequence_length_, left - 1)};
    for (int64_t i = 0, all = result.targets; i < all && !end_targets_; ++i)
      result.targets -= token(begin + i) == end_id_;
    return result;
  }
  const int64_t targets = content(row).count;
  return {targets + 1, targets};
}

}  // namespace rowan
