#include "data/shard.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file_kind.h"

namespace rowan {
namespace {

int32_t header_word(const MappedFile& file, size_t word) {
  int32_t value;
  std::memcpy(&value, file.data() + 4 * word, sizeof value);
  return value;
}

uint64_t header_pair(const MappedFile& file, size_t word) {
  uint64_t value;
  std::memcpy(&value, file.data() + 4 * word, sizeof value);
  return value;
}

bool has_llmc_magic(const MappedFile& file) {
  if (file.size() < 4) return false;
  const int32_t magic = header_word(file, shard::word_magic);
  return magic == shard::magic_u16 || magic == shard::magic_u32;
}

// The version that llm.c writes with a magic number.
int32_t version_with(int32_t magic) { return magic == shard::magic_u16 ? shard::version_u16 : shard::version_u32; }

// Returns the path. Throws Error if it is the path of a folder.
const std::filesystem::path& checked(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  if (!fs::is_directory(path)) return path;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.path().extension() == ".bin")
      fail("{}: found a folder, expected the shards in it: {}", path.string(), (path / "*.bin").string());
  fail("{0}: found a folder without token shards; to make shards: rowan tokenize --tokenizer SPEC --out DIR {0}",
       path.string());
}

std::filesystem::path with_suffix(const std::filesystem::path& path, const char* suffix) {
  return path.string() + suffix;
}

std::filesystem::path megatron_index(std::filesystem::path path) { return path.replace_extension(".idx"); }

}  // namespace

Shard::Shard(const std::filesystem::path& path, const ShardOptions& options)
    : path_(path), file_(checked(path)), format_(options.format), end_id_(options.end_id) {
  if (format_ == ShardFormat::automatic) {
    if (has_llmc_magic(file_))
      format_ = ShardFormat::llmc;
    else if (path.extension() == ".ds")
      format_ = ShardFormat::datatrove;
    else if (path.extension() == ".bin" && std::filesystem::exists(megatron_index(path)))
      format_ = ShardFormat::megatron;
    else if (options.width != 0)
      format_ = ShardFormat::nanogpt;
    else if (looks_like_text(file_.text()))
      fail("{0}: found text, expected a token shard; to make shards: rowan tokenize --tokenizer SPEC --out DIR {0}",
           path.string());
    else if (file_.size() < 4)
      fail("{}: found {} bytes, too few for a token shard", path.string(), file_.size());
    else
      fail(
          "{}: byte 0: magic {}; a token shard starts with {} or {} (llm.c), is named .ds, or has an .idx beside it; "
          "for bare tokens (nanoGPT) give data.width (--width), 2 or 4",
          path.string(), header_word(file_, 0), shard::magic_u16, shard::magic_u32);
  }
  switch (format_) {
    case ShardFormat::llmc:
      open_llmc();
      break;
    case ShardFormat::datatrove:
      open_datatrove(options.width);
      break;
    case ShardFormat::megatron:
      open_megatron();
      break;
    default:
      open_bare(options.width);
  }
}

void Shard::open_llmc() {
  const std::string name = path_.string();
  if (file_.size() < shard::header_bytes)
    fail("{}: found {} bytes, expected at least the {} of an llm.c header", name, file_.size(), shard::header_bytes);
  const int32_t magic = header_word(file_, shard::word_magic);
  if (!has_llmc_magic(file_))
    fail("{}: byte 0: found magic {}, expected {} or {}", name, magic, shard::magic_u16, shard::magic_u32);
  width_ = magic == shard::magic_u16 ? 2 : 4;
  const int32_t version = header_word(file_, shard::word_version);
  const int32_t wanted = version_with(magic);
  if (version != wanted) fail("{}: byte 4: found version {}, expected {} with this magic", name, version, wanted);
  base_ = shard::header_bytes;
  tokens_ = header_word(file_, shard::word_tokens);
  if (tokens_ < 0) fail("{}: byte 8: found {} tokens, expected at least 0", name, tokens_);
  const uint64_t size = base_ + static_cast<uint64_t>(tokens_ * width_);
  if (file_.size() != size)
    fail("{}: byte 8: found {} tokens, which make a file of {} bytes, but this file has {}", name, tokens_, size,
         file_.size());

  if (header_word(file_, shard::word_mark) != shard::rowan_mark) {
    // llm.c and modded-nanogpt put the end token before every document.
    end_place_ = shard::EndPlace::before;
  } else {
    vocab_size_ = header_word(file_, shard::word_vocab);
    const int32_t end_id = header_word(file_, shard::word_end_id), place = header_word(file_, shard::word_end_place);
    if (vocab_size_ <= 0)
      fail("{}: byte {}: found a vocabulary of {}, expected more than 0", name, 4 * shard::word_vocab, vocab_size_);
    if (end_id < -1 || end_id >= vocab_size_)
      fail("{}: byte {}: found end id {}, expected less than {}, the vocabulary size", name, 4 * shard::word_end_id,
           end_id, vocab_size_);
    if (place < 0 || place > 2)
      fail("{}: byte {}: found end token place {}, expected 0, 1 or 2", name, 4 * shard::word_end_place, place);
    if (end_id >= 0 && end_id_ >= 0 && end_id != end_id_)
      fail("{}: byte {}: found end id {}, but {} is given (data.end_id, --end-id or a tokenizer)", name,
           4 * shard::word_end_id, end_id, end_id_);
    if (end_id >= 0) end_id_ = end_id;
    end_place_ = static_cast<shard::EndPlace>(place);
    tokenizer_hash_ = header_pair(file_, shard::word_tokenizer_hash);
    checksum_ = header_pair(file_, shard::word_checksum);
  }
  const std::filesystem::path index = with_suffix(path_, shard::documents_suffix);
  if (std::filesystem::exists(index)) index_ = DocumentIndex::rowan(index, tokens_);
}

void Shard::open_bare(int width) {
  const std::string name = path_.string();
  if (width != 2 && width != 4)
    fail("{}: data.width (--width): found {}, expected 2 or 4, the bytes per token of a file without a header", name,
         width);
  if (!index_ && file_.size() >= shard::header_bytes && has_llmc_magic(file_) &&
      header_word(file_, shard::word_version) == version_with(header_word(file_, shard::word_magic)))
    fail("{}: byte 0: found the header of llm.c, expected bare tokens with format {}; leave out data.format (--format)",
         name, name_of(format_));
  if (file_.size() % static_cast<uint64_t>(width) != 0)
    fail("{}: found {} bytes, expected a whole number of {}-byte tokens", name, file_.size(), width);
  width_ = width;
  tokens_ = static_cast<int64_t>(file_.size()) / width;
  end_place_ = shard::EndPlace::after;
}

void Shard::open_datatrove(int width) {
  const std::filesystem::path path = with_suffix(path_, ".index");
  if (!std::filesystem::exists(path)) {
    if (width == 0)
      fail("{}: found no {} beside it; give data.width (--width)", path_.string(), path.filename().string());
    return open_bare(width);
  }
  index_ = DocumentIndex::datatrove(path);
  const uint64_t tokens = static_cast<uint64_t>(index_->tokens());
  if (width == 0 && tokens > 0) width = static_cast<int>(std::min<uint64_t>(file_.size() / tokens, 4));
  if (width == 0) width = 2;
  if ((width != 2 && width != 4) || file_.size() != tokens * static_cast<uint64_t>(width))
    fail("{0}: found {1} bytes, expected {4} or {5}, because {2} ends at token {3}", path_.string(), file_.size(),
         path.filename().string(), tokens, 2 * tokens, 4 * tokens);
  open_bare(width);
}

void Shard::open_megatron() {
  index_ = DocumentIndex::megatron(megatron_index(path_), file_.size());
  open_bare(index_->width());
}

uint64_t Shard::head_hash() const { return hash64(file_.text().substr(0, 4096)); }

std::string_view Shard::token_bytes() const { return file_.text().substr(base_); }

void Shard::copy_tokens(int64_t begin, int64_t count, int32_t* out) const {
  if (begin < 0 || count < 0 || begin > tokens_ - count)
    fail("{}: found tokens {} to {}, expected a range within 0 to {}", path_.string(), begin, begin + count, tokens_);
  if (count == 0) return;
  const std::byte* from = file_.data() + base_ + begin * width_;
  if (width_ == 4) {
    std::memcpy(out, from, static_cast<size_t>(count) * 4);
  } else {
    // Aligned: the mapping starts at a page boundary, and base_ is even.
    const uint16_t* narrow = reinterpret_cast<const uint16_t*>(from);
    for (int64_t i = 0; i < count; ++i) out[i] = narrow[i];
  }
}

int32_t Shard::token(int64_t position) const {
  int32_t id;
  copy_tokens(position, 1, &id);
  return id;
}

// All full shards of a folder have the same number of tokens, so an index that was left behind by other shards fits by
// its size.
void Shard::check_index() const {
  if (!checksum_ || end_id_ < 0 || end_place_ == shard::EndPlace::none) return;
  const int64_t count = index_->size(), looks = std::min<int64_t>(count, 16),
                after = end_place_ == shard::EndPlace::after;
  for (int64_t look = 0; look < looks; ++look) {
    const int64_t document = look * (count - 1) / std::max<int64_t>(looks - 1, 1), start = index_->start(document);
    const int64_t end = start - after;  // the position of the end token
    if (end >= 0 && end < tokens_ && token(end) != end_id_)
      fail("{}: document {}: found start {}, expected the end token {} at token {} of {}: the index of another shard",
           index_->path().string(), document, start, end_id_, end, path_.string());
  }
}

DocumentIndex Shard::documents(bool begins_document) const {
  if (index_) {
    check_index();
    return *index_;
  }
  if (end_id_ < 0 || end_place_ == shard::EndPlace::none)
    fail("{}: found no index beside it that says where documents begin; give data.end_id (--end-id)", path_.string());
  const int64_t after = end_place_ == shard::EndPlace::after;
  std::vector<int64_t> starts;
  if (after && begins_document && tokens_ > 0) starts.push_back(0);
  std::vector<int32_t> block(1 << 16);
  for (int64_t begin = 0; begin < tokens_; begin += static_cast<int64_t>(block.size())) {
    const int64_t count = std::min(tokens_ - begin, static_cast<int64_t>(block.size()));
    copy_tokens(begin, count, block.data());
    for (int64_t i = 0; i < count; ++i)
      if (block[static_cast<size_t>(i)] == end_id_ && begin + i + after < tokens_) starts.push_back(begin + i + after);
  }
  return DocumentIndex::found(path_, std::move(starts), tokens_);
}

}  // namespace rowan
