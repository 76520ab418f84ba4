#include "data/document_index.h"

#include <cstring>
#include <utility>

#include "base/error.h"
#include "data/shard_format.h"

namespace rowan {
namespace {

// The magic of Megatron's .idx, and the byte offsets of its fields.
constexpr char megatron_magic[] = "MMIDIDX\0";  // nine bytes including the final zero
constexpr uint64_t megatron_dtype = 17, megatron_counts = 18, megatron_lengths = 34;

template <typename T>
T load(const MappedFile& file, uint64_t byte) {
  T value;
  std::memcpy(&value, file.data() + byte, sizeof value);
  return value;
}

}  // namespace

void DocumentIndex::map() { file_ = std::make_shared<const MappedFile>(path_); }

uint64_t DocumentIndex::word(uint64_t byte) const { return load<uint64_t>(*file_, byte); }

DocumentIndex DocumentIndex::rowan(const std::filesystem::path& path, int64_t tokens) {
  DocumentIndex index(Kind::rowan, path);
  index.map();
  const uint64_t bytes = index.file_->size();
  if (bytes < shard::documents_header_bytes)
    fail("{}: found {} bytes, expected at least {} of a document index", path.string(), bytes,
         shard::documents_header_bytes);
  if (std::memcmp(index.file_->data(), shard::documents_magic, sizeof shard::documents_magic) != 0)
    fail("{}: byte 0: expected the mark ROWNDOCS of a document index", path.string());
  const uint64_t count = index.word(8), room = (bytes - shard::documents_header_bytes) / 8;
  if (count != room || bytes % 8 != 0)
    fail("{}: byte 8: found {} documents, but the file of {} bytes has room for {}", path.string(), count, bytes, room);
  if (index.word(16) != static_cast<uint64_t>(tokens))
    fail("{}: byte 16: found {} tokens, expected {} as in the shard", path.string(), index.word(16), tokens);
  index.count_ = static_cast<int64_t>(count);
  index.tokens_ = tokens;
  return index;
}

DocumentIndex DocumentIndex::datatrove(const std::filesystem::path& path) {
  DocumentIndex index(Kind::datatrove, path);
  index.map();
  const uint64_t bytes = index.file_->size();
  if (bytes == 0 || bytes % 8 != 0)
    fail("{}: found {} bytes, expected a multiple of 8 above 0 in a .ds.index", path.string(), bytes);
  const uint64_t end = index.word(bytes - 8);
  constexpr uint64_t most = INT64_MAX / 4;
  if (end > most) fail("{}: byte {}: found last position {}, expected at most {}", path.string(), bytes - 8, end, most);
  index.count_ = static_cast<int64_t>(bytes / 8);
  index.tokens_ = static_cast<int64_t>(end);
  return index;
}

DocumentIndex DocumentIndex::megatron(const std::filesystem::path& path, uint64_t bin_bytes) {
  DocumentIndex index(Kind::megatron, path);
  index.map();
  const MappedFile& file = *index.file_;
  const std::string name = path.string();
  if (file.size() < megatron_lengths)
    fail("{}: found {} bytes, expected at least {} of a Megatron index", name, file.size(), megatron_lengths);
  if (std::memcmp(file.data(), megatron_magic, sizeof megatron_magic) != 0)
    fail("{}: byte 0: expected the mark MMIDIDX of a Megatron index", name);
  if (index.word(9) != 1) fail("{}: byte 9: found version {}, expected 1", name, index.word(9));
  const int dtype = load<uint8_t>(file, megatron_dtype);
  if (dtype != 4 && dtype != 8)
    fail("{}: byte {}: found element type {}, expected 4 (i32) or 8 (u16)", name, megatron_dtype, dtype);
  index.width_ = dtype == 4 ? 4 : 2;
  const uint64_t sequences = index.word(megatron_counts), bounds = index.word(megatron_counts + 8);
  const uint64_t limit = file.size() / 8;  // so that the sum below cannot overflow
  if (bounds == 0 || bounds > limit || sequences > limit ||
      file.size() != megatron_lengths + 12 * sequences + 8 * bounds)
    fail("{}: byte {}: found {} sequences and {} document bounds, which do not make a file of {} bytes", name,
         megatron_counts, sequences, bounds, file.size());
  index.sequences_ = static_cast<int64_t>(sequences);
  index.count_ = static_cast<int64_t>(bounds) - 1;
  index.tokens_ = static_cast<int64_t>(bin_bytes / static_cast<uint64_t>(index.width_));
  uint64_t end = 0;
  if (sequences > 0) {
    const int64_t length = load<int32_t>(file, megatron_lengths + 4 * (sequences - 1));
    end = index.word(megatron_lengths + 12 * sequences - 8) + static_cast<uint64_t>(length * index.width_);
  }
  if (end != bin_bytes)
    fail("{}: end of the last sequence: found byte {}, expected byte {}, the end of the .bin", name, end, bin_bytes);
  return index;
}

DocumentIndex DocumentIndex::found(const std::filesystem::path& path, std::vector<int64_t> starts, int64_t tokens) {
  DocumentIndex index(Kind::found, path);
  index.count_ = static_cast<int64_t>(starts.size());
  index.found_ = std::move(starts);
  index.tokens_ = tokens;
  return index;
}

// Returns UINT64_MAX for an invalid entry of a Megatron index; start() rejects this value as too large.
uint64_t DocumentIndex::entry(int64_t i) const {
  const uint64_t at = static_cast<uint64_t>(i);
  switch (kind_) {
    case Kind::rowan:
      return word(shard::documents_header_bytes + 8 * at);
    case Kind::datatrove:
      return i == 0 ? 0 : word(8 * at - 8);
    case Kind::megatron: {
      const uint64_t pointers = megatron_lengths + 4 * static_cast<uint64_t>(sequences_);
      const uint64_t sequence = word(pointers + 8 * static_cast<uint64_t>(sequences_) + 8 * at);
      if (sequence == static_cast<uint64_t>(sequences_)) return static_cast<uint64_t>(tokens_);
      if (sequence > static_cast<uint64_t>(sequences_)) return UINT64_MAX;
      const uint64_t byte = word(pointers + 8 * sequence);
      return byte % static_cast<uint64_t>(width_) == 0 ? byte / static_cast<uint64_t>(width_) : UINT64_MAX;
    }
    case Kind::found:
      break;
  }
  return static_cast<uint64_t>(found_[at]);
}

int64_t DocumentIndex::start(int64_t i) const {
  const uint64_t start = entry(i);
  if (start > static_cast<uint64_t>(tokens_) || (i > 0 && start < entry(i - 1)))
    fail("{}: document {}: found start {}, expected at least the previous start and at most {}, the number of tokens",
         path_.string(), i, start, tokens_);
  return static_cast<int64_t>(start);
}

}  // namespace rowan
