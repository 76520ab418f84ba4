// Bytes of a text file as they were before compression: plain, gzip (any number of members) or zstd (any number of
// frames), told apart by their first bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace rowan {

// Whether a file that starts with these bytes, four or more, is zstd's.
bool is_zstd(std::string_view start);

class TextStream {
 public:
  // "-" is the standard input. Throws Error when the file cannot be opened, or its name says .gz or .zst and its first
  // bytes do not.
  explicit TextStream(const std::string& path);
  ~TextStream();
  TextStream(TextStream&&) noexcept;
  TextStream& operator=(TextStream&&) noexcept;

  // Fills `to` with at most `size` bytes and returns how many, 0 at the end only. Throws Error naming the file and the
  // byte where a compressed stream is damaged or cut short, so nothing is lost silently.
  size_t read(char* to, size_t size);
  bool compressed() const { return compressed_; }
  // Bytes of the file itself consumed so far, and their Hash64.
  uint64_t raw_bytes() const;
  uint64_t raw_hash() const;

 private:
  class Raw;
  class Decoder;
  class Gzip;
  class Zstd;
  std::unique_ptr<Raw> raw_;
  std::unique_ptr<Decoder> decoder_;
  bool compressed_ = false;
};

}  // namespace rowan
