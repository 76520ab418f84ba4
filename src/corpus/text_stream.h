// Reads a text file and decompresses it. The first bytes determine the format: plain text, gzip (any number of members)
// or zstd (any number of frames).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace rowan {

// Whether a file name ends in `suffix`, which is in small letters; the name may have capitals.
bool has_suffix(std::string_view name, std::string_view suffix);

// Whether a file that starts with these bytes (at least four) is zstd.
bool is_zstd(std::string_view start);

class TextStream {
 public:
  // "-" is standard input. Throws Error if the file cannot be opened, or if its name ends in .gz, .zst or .zstd and its
  // first bytes do not match.
  explicit TextStream(const std::string& path);
  ~TextStream();
  TextStream(TextStream&&) noexcept;
  TextStream& operator=(TextStream&&) noexcept;

  // Reads at most `size` bytes into `to` and returns their number, which is 0 only at the end. Throws Error naming file
  // and byte if a compressed stream is damaged or truncated.
  size_t read(char* to, size_t size);
  bool compressed() const { return compressed_; }
  // The number of bytes consumed so far from the file itself, compressed or not. raw_hash() is the Hash64 of the file
  // once read() has returned 0.
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
