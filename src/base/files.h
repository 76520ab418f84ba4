// Files: reading whole or mapped, writing so that a crash at any moment leaves either the old file or the new one.
// Every failure (missing, no permission, disk full) is an Error naming the file and the system's reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace rowan {

// Makes a directory and those above it, where they are not there yet.
void make_directories(const std::filesystem::path& path);

// The whole content of a regular file; pipes and devices are refused here as by MappedFile.
std::string read_file(const std::filesystem::path& path);

// A read-only mapping; sizes are 64 bits wide. An empty file maps to size 0.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Writes to `path` + ".part"; commit() makes the bytes durable and renames them to `path`. Destroyed without a commit,
// it removes the part and leaves whatever was at `path`.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  // Continues the part that an earlier process left, cut to its first `keep_bytes` (0 begins anew); throws Error when
  // it is shorter. Such a part outlives a destruction without commit, so that the next attempt can continue it.
  AtomicFile(std::filesystem::path path, uint64_t keep_bytes);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  // Overwrites bytes already written (a header whose counts are known at the end).
  void write_at(uint64_t offset, const void* data, size_t bytes);
  // Makes what was written so far durable, still as a part.
  void sync();
  // Bytes written so far.
  uint64_t size() const { return size_; }
  // fsync, rename, fsync of the directory.
  void commit();

 private:
  std::filesystem::path path_, part_;
  bool keep_part_ = false;
  int fd_ = -1;
  uint64_t size_ = 0;
};

void write_file_atomically(const std::filesystem::path& path, std::string_view content);

// Makes the names in a directory durable.
void sync_directory(const std::filesystem::path& directory);

// Renames a file or folder and makes that durable. A folder that is already at `to` is replaced and removed: in one
// step, or, on file systems that cannot exchange two names, in two with `to`.replaced.part between them.
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);

// The name that holds the bytes of `path` until they are committed.
std::filesystem::path part_of(const std::filesystem::path& path);

// A path that exists, as it is; else the paths matching a shell pattern (*, ?, [..]), sorted by name.
// Throws Error when nothing matches, and names the recipe get.sh where one lies in the folder.
std::vector<std::filesystem::path> expand_glob(const std::string& pattern);

// A 64-bit checksum that finds damage (it is no defence against forgery). It may be fed in pieces of any size: the
// value depends on the bytes only. XXH64 of the xxHash specification (github.com/Cyan4973/xxHash), seed 0.
class Hash64 {
 public:
  void add(const void* data, size_t bytes);
  void add(std::string_view text) { add(text.data(), text.size()); }
  uint64_t value() const;

 private:
  // Start values of the specification for seed 0.
  uint64_t lane_[4] = {0x60ea27eeadc0b5d6ull, 0xc2b2ae3d27d4eb4full, 0, 0x61c8864e7a143579ull};
  unsigned char tail_[32] = {};
  uint64_t size_ = 0;
};

uint64_t hash64(std::string_view bytes);

}  // namespace rowan
