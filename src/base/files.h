// Files: reading them whole or mapped, and writing them so that a crash at any moment leaves either the old file or the
// new one. Every failure (missing file, no permission, full disk) is an Error naming the file and the system's reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace rowan {

// Creates a directory, and its parents if they are missing.
void make_directories(const std::filesystem::path& path);

// Returns the whole content of a regular file. Throws Error for pipes and devices, as does MappedFile.
std::string read_file(const std::filesystem::path& path);

// A read-only mapping of a file. An empty file maps to size 0.
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

// Writes to `path` + ".part". commit() makes the bytes durable and renames the file to `path`. Without a commit the
// destructor removes the part and leaves `path` as it was.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  // Continues the .part file of an earlier process, cut to its first `keep_bytes`; 0 starts afresh. Throws Error if it
  // is shorter. Such a part survives destruction without commit, so that the next attempt can continue it.
  AtomicFile(std::filesystem::path path, uint64_t keep_bytes);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  // Overwrites bytes already written (a header whose counts are known at the end).
  void write_at(uint64_t offset, const void* data, size_t bytes);
  // Makes the bytes written so far durable; the file stays a .part.
  void sync();
  // The number of bytes written so far.
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

// Renames a file or folder, durably. A folder that exists at `to` is replaced and removed: atomically, or, on file
// systems that cannot exchange two names, in two steps with `to`.replaced.part in between.
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);

// The name of the .part file that holds the bytes of `path` until the commit.
std::filesystem::path part_of(const std::filesystem::path& path);

// Returns an existing path as it is, else the paths that match a shell pattern (*, ?, [..]), sorted by name. Throws
// Error if nothing matches; if get.sh in that folder can produce the files, the message says so.
std::vector<std::filesystem::path> expand_glob(const std::string& pattern);

// A 64-bit checksum that detects damage, but not forgery. It may be fed in pieces of any size. XXH64 of the xxHash
// specification (github.com/Cyan4973/xxHash), seed 0.
class Hash64 {
 public:
  void add(const void* data, size_t bytes);
  void add(std::string_view text) { add(text.data(), text.size()); }
  uint64_t value() const;

 private:
  // The specification's initial state for seed 0.
  uint64_t lane_[4] = {0x60ea27eeadc0b5d6ull, 0xc2b2ae3d27d4eb4full, 0, 0x61c8864e7a143579ull};
  unsigned char tail_[32] = {};
  uint64_t size_ = 0;
};

uint64_t hash64(std::string_view bytes);

}  // namespace rowan
