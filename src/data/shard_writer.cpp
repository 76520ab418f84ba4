#include "data/shard_writer.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <system_error>

#include "base/error.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

constexpr size_t buffer_bytes = size_t{1} << 20;

template <typename T>
void append_bytes(std::string& buffer, T value) {
  buffer.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// `pattern` with * replaced by the number of a shard.
std::string shard_name(std::string pattern, uint64_t number) {
  return pattern.replace(pattern.find('*'), 1, fmt::format("{:05}", number));
}

// If the shard `file` was finished after the state was saved, renames it to .part again.
void reopen(const fs::path& file) {
  if (fs::exists(file) && !fs::exists(part_of(file))) fs::rename(file, part_of(file));
}

}  // namespace

std::vector<fs::path> shard_files_from(const fs::path& folder, const std::string& pattern, uint64_t first) {
  const size_t star = pattern.find('*');
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    uint64_t number = 0;
    if (name.size() <= star || name.compare(0, star, pattern, 0, star) != 0) continue;
    const auto [end, error] = std::from_chars(name.data() + star, name.data() + name.size(), number);
    if (error != std::errc() || number < first) continue;
    const std::string shard = shard_name(pattern, number), index = shard + shard::documents_suffix;
    if (name == shard || name == index || name == part_of(shard) || name == part_of(index))
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

ShardWriter::ShardWriter(fs::path folder, std::string pattern, const ShardLabel& label, uint64_t shard_tokens,
                         ShardsState state)
    : folder_(std::move(folder)),
      pattern_(std::move(pattern)),
      label_(label),
      shard_tokens_(shard_tokens),
      width_(shard::token_bytes(label.vocab_size)),
      state_(std::move(state)) {
  if (shard_tokens == 0 || shard_tokens > INT32_MAX)
    fail("shard size: found {} tokens, expected 1 to {}", shard_tokens, INT32_MAX);
  if (state_.part_tokens > shard_tokens || state_.part_documents > state_.part_tokens)
    fail(
        "{}: found an unfinished shard of {} tokens and {} documents, expected at most {} tokens, and no more "
        "documents than tokens",
        folder_.string(), state_.part_tokens, state_.part_documents, shard_tokens);
  for (const ShardInfo& shard : state_.shards) tokens_ += shard.tokens;
  tokens_ += state_.part_tokens;
  if (state_.part_tokens > 0) open();
}

std::string ShardWriter::next_name() const {
  if (pattern_.find('*') != std::string::npos) return shard_name(pattern_, state_.shards.size());
  if (!state_.shards.empty())
    fail("{}: found more tokens than the {} of one shard", (folder_ / pattern_).string(), shard_tokens_);
  return pattern_;
}

void ShardWriter::open() {
  fs::path path = folder_ / next_name(), index_path = path.string() + shard::documents_suffix;
  uint64_t kept = 0, index_kept = 0;
  if (state_.part_tokens > 0) {
    reopen(path);
    reopen(index_path);
    kept = shard::header_bytes + state_.part_tokens * width_;
    index_kept = shard::documents_header_bytes + state_.part_documents * sizeof(uint64_t);
  }
  file_ = std::make_unique<AtomicFile>(path, kept);
  index_ = std::make_unique<AtomicFile>(index_path, index_kept);
  checksum_ = Hash64();
  if (kept > 0) {
    MappedFile before(part_of(path));
    checksum_.add(before.text().substr(shard::header_bytes));
  } else {
    file_->write(std::string(shard::header_bytes, '\0'));
    index_->write(std::string(shard::documents_header_bytes, '\0'));
  }
}

void ShardWriter::append(std::span<const int32_t> ids, bool starts_document) {
  while (!ids.empty()) {
    if (!file_) open();
    if (starts_document) {
      append_bytes(index_buffer_, state_.part_tokens);
      ++state_.part_documents;
      starts_document = false;
    }
    size_t take = std::min<uint64_t>({ids.size(), shard_tokens_ - state_.part_tokens, buffer_bytes});
    size_t used = buffer_.size();
    buffer_.resize(used + take * width_);
    char* to = buffer_.data() + used;
    for (int32_t id : ids.first(take)) {
      std::memcpy(to, &id, width_);
      to += width_;
    }
    ids = ids.subspan(take);
    tokens_ += take;
    state_.part_tokens += take;
    if (buffer_.size() >= buffer_bytes) flush();
    if (state_.part_tokens == shard_tokens_) close();
  }
}

void ShardWriter::flush() {
  checksum_.add(buffer_);
  file_->write(buffer_);
  index_->write(index_buffer_);
  buffer_.clear();
  index_buffer_.clear();
}

// Headers are written last, so an unfinished shard is never mistaken for a finished one.
void ShardWriter::close() {
  flush();
  ShardInfo info{next_name(), state_.part_tokens, state_.part_documents, checksum_.value()};
  int32_t header[shard::header_words] = {};
  header[shard::word_magic] = width_ == 2 ? shard::magic_u16 : shard::magic_u32;
  header[shard::word_version] = width_ == 2 ? shard::version_u16 : shard::version_u32;
  header[shard::word_tokens] = static_cast<int32_t>(info.tokens);
  header[shard::word_mark] = shard::rowan_mark;
  header[shard::word_vocab] = label_.vocab_size;
  header[shard::word_end_id] = label_.end_place == shard::EndPlace::none ? -1 : label_.end_id;
  header[shard::word_end_place] = static_cast<int32_t>(label_.end_place);
  std::memcpy(&header[shard::word_tokenizer_hash], &label_.tokenizer_hash, sizeof label_.tokenizer_hash);
  std::memcpy(&header[shard::word_checksum], &info.checksum, sizeof info.checksum);
  file_->write_at(0, header, sizeof header);

  std::string index_header(shard::documents_magic, sizeof shard::documents_magic);
  append_bytes(index_header, info.documents);
  append_bytes(index_header, info.tokens);
  index_->write_at(0, index_header.data(), index_header.size());
  index_->commit();
  file_->commit();
  index_.reset();
  file_.reset();
  state_.shards.push_back(std::move(info));
  state_.part_tokens = state_.part_documents = 0;
}

const ShardsState& ShardWriter::sync() {
  if (file_) {
    flush();
    file_->sync();
    index_->sync();
  }
  return state_;
}

const ShardsState& ShardWriter::finish() {
  if (file_) close();
  return state_;
}

}  // namespace rowan
