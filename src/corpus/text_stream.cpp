#include "corpus/text_stream.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/files.h"

namespace rowan {

// The raw file, read through one buffer.
class TextStream::Raw {
 public:
  explicit Raw(const std::string& path) : path_(path == "-" ? "standard input" : path), buffer_(1 << 18) {
    fd_ = path == "-" ? ::dup(0) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0) fail("cannot open {}: {}", path_, std::strerror(errno));
  }
  ~Raw() { ::close(fd_); }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;

  // Returns the buffered bytes: at least `wanted`, or all that remain in the file.
  std::string_view peek(size_t wanted = 1) {
    while (end_ - begin_ < wanted && !ended_) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
      ssize_t got = ::read(fd_, buffer_.data() + end_, buffer_.size() - end_);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail("cannot read {}: {}", path_, std::strerror(errno));
      hash_.add(buffer_.data() + end_, static_cast<size_t>(got));
      end_ += static_cast<size_t>(got);
      ended_ = got == 0;
    }
    return {buffer_.data() + begin_, end_ - begin_};
  }
  void take(size_t bytes) {
    begin_ += bytes;
    consumed_ += bytes;
  }

  const std::string& path() const { return path_; }
  uint64_t consumed() const { return consumed_; }
  uint64_t hash() const { return hash_.value(); }

 private:
  std::string path_;
  int fd_;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;
  bool ended_ = false;
  uint64_t consumed_ = 0;
  Hash64 hash_;
};

class TextStream::Decoder {
 public:
  explicit Decoder(Raw& raw) : raw_(raw) {}
  virtual ~Decoder() = default;
  virtual size_t read(char* to, size_t size) {
    std::string_view ready = raw_.peek();
    size_t take = std::min(size, ready.size());
    std::memcpy(to, ready.data(), take);
    raw_.take(take);
    return take;
  }

 protected:
  Raw& raw_;

  [[noreturn]] void fail_damaged(const char* format, const char* reason) const {
    fail("{}: {} at byte {}: {}", raw_.path(), format, raw_.consumed(), reason);
  }
};

class TextStream::Gzip : public Decoder {
 public:
  explicit Gzip(Raw& raw) : Decoder(raw) {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) fail("{}: zlib cannot start", raw.path());
  }
  ~Gzip() override { inflateEnd(&stream_); }

  size_t read(char* to, size_t size) override {
    stream_.next_out = reinterpret_cast<Bytef*>(to);
    stream_.avail_out = static_cast<uInt>(size);
    while (stream_.avail_out == size && !ended_) {
      std::string_view ready = raw_.peek();
      if (ready.empty()) fail_damaged("gzip", "the file ends inside a member");
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(ready.data()));
      stream_.avail_in = static_cast<uInt>(ready.size());
      int code = inflate(&stream_, Z_NO_FLUSH);
      raw_.take(ready.size() - stream_.avail_in);
      if (code == Z_STREAM_END)
        next_member();
      else if (code != Z_OK && code != Z_BUF_ERROR)
        fail_damaged("gzip", stream_.msg ? stream_.msg : "not a gzip member");
    }
    return size - stream_.avail_out;
  }

 private:
  z_stream stream_{};
  bool ended_ = false;

  // Zero bytes after a member are padding. Anything else must be another member.
  void next_member() {
    while (!raw_.peek().empty() && raw_.peek()[0] == '\0') raw_.take(1);
    ended_ = raw_.peek().empty();
    inflateReset(&stream_);
  }
};

class TextStream::Zstd : public Decoder {
 public:
  explicit Zstd(Raw& raw) : Decoder(raw), stream_(ZSTD_createDCtx()) {
    if (stream_ == nullptr) fail("{}: zstd cannot start", raw.path());
    // Files that `zstd --long` wrote may need a larger window than the library allows by default.
    ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, ZSTD_dParam_getBounds(ZSTD_d_windowLogMax).upperBound);
  }
  ~Zstd() override { ZSTD_freeDCtx(stream_); }

  size_t read(char* to, size_t size) override {
    ZSTD_outBuffer out{to, size, 0};
    while (out.pos == 0) {
      std::string_view ready = raw_.peek();
      if (ready.empty() && !inside_frame_) break;
      ZSTD_inBuffer in{ready.data(), ready.size(), 0};
      size_t code = ZSTD_decompressStream(stream_, &out, &in);
      raw_.take(in.pos);
      if (ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation)
        fail_damaged("zstd", "no memory for a window of this size; compress the file again without --long");
      if (ZSTD_isError(code)) fail_damaged("zstd", ZSTD_getErrorName(code));
      inside_frame_ = code != 0;
      if (ready.empty() && inside_frame_ && out.pos == 0) fail_damaged("zstd", "the file ends inside a frame");
    }
    return out.pos;
  }

 private:
  ZSTD_DCtx* stream_;
  bool inside_frame_ = false;
};

bool is_zstd(std::string_view start) {
  // The magic of a frame, or of a skippable frame (RFC 8878, 3.1). pzstd writes a skippable frame before each frame.
  const bool skippable = start.size() >= 4 && (start[0] & 0xf0) == 0x50 && start.substr(1, 3) == "\x2a\x4d\x18";
  return skippable || start.starts_with("\x28\xb5\x2f\xfd");
}

bool has_suffix(std::string_view name, std::string_view suffix) {
  auto small = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return name.size() >= suffix.size() &&
         std::equal(suffix.begin(), suffix.end(), name.substr(name.size() - suffix.size()).begin(),
                    [&](char wanted, char found) { return small(found) == wanted; });
}

TextStream::TextStream(const std::string& path) : raw_(std::make_unique<Raw>(path)) {
  std::string_view start = raw_->peek(4);
  bool gzip = start.starts_with("\x1f\x8b"), zstd = is_zstd(start);
  if (has_suffix(path, ".gz") && !gzip) fail("{}: the first bytes are not gzip, although the name ends in .gz", path);
  if ((has_suffix(path, ".zst") || has_suffix(path, ".zstd")) && !zstd)
    fail("{}: the first bytes are not zstd, although the name ends in .zst or .zstd", path);
  compressed_ = gzip || zstd;
  if (gzip)
    decoder_ = std::make_unique<Gzip>(*raw_);
  else if (zstd)
    decoder_ = std::make_unique<Zstd>(*raw_);
  else
    decoder_ = std::make_unique<Decoder>(*raw_);
}

TextStream::~TextStream() = default;
TextStream::TextStream(TextStream&&) noexcept = default;
TextStream& TextStream::operator=(TextStream&&) noexcept = default;

size_t TextStream::read(char* to, size_t size) { return decoder_->read(to, size); }
uint64_t TextStream::raw_bytes() const { return raw_->consumed(); }
uint64_t TextStream::raw_hash() const { return raw_->hash(); }

}  // namespace rowan
