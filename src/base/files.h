// Files and folders: reading, mapping, writing and renaming them, shell patterns, and a checksum. An AtomicFile leaves
// either the old file or the new one at its path, even after a crash.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/error.h"

namespace rowan {

// The message for an exception, on one line: that of an Error, "PATH: REASON" for an error of the file system, "out of
// memory", or "internal error: ..." for an exception that no user can cause.
std::string message_of(const std::exception& error);

// Creates a directory, and its parents if they are missing.
void make_directories(const std::filesystem::path& path);

// Thrown if a file that is there cannot be opened or read, for example for lack of permission. Its content is not
// known, so it does not count as damaged.
class Unreadable : public Error {
 public:
  using Error::Error;
};

// Returns the whole content of a regular file of at most 4 GiB. Throws Error for anything else, such as a pipe.
std::string read_file(const std::filesystem::path& path);

// A read-only mapping of a regular file. Throws Error for anything else, such as a pipe. An empty file maps to size 0.
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

// Writes to `path` + ".part". commit() makes the bytes durable and renames the file to `path`. Without commit() the
// destructor removes the .part file and leaves `path` as it was.
class AtomicFile {
 public:
  // If `path` is a symbolic link, writes the file that it leads to. Throws Error for a pipe or a device, and for a link
  // in or to /dev or /proc.
  explicit AtomicFile(const std::filesystem::path& path);
  // Keeps the first `keep_bytes` bytes of the .part file that an earlier process left, and appends to them. Throws
  // Error if the .part file is shorter. Without commit() the destructor keeps the .part file for the next process.
  AtomicFile(std::filesystem::path path, uint64_t keep_bytes);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  // Writes at an offset, for example a header whose counts are known only at the end. Does not change size().
  void write_at(uint64_t offset, const void* data, size_t bytes);
  // Makes the bytes written so far durable (fsync). The file keeps its .part name.
  void sync();
  // The number of bytes kept and appended so far, which is the position of the next write().
  uint64_t size() const { return size_; }
  // Syncs the file, renames it to `path`, and syncs the directory.
  void commit();

 private:
  std::filesystem::path path_, part_;
  bool keep_part_ = false;
  int fd_ = -1;
  uint64_t size_ = 0;
};

void write_file_atomically(const std::filesystem::path& path, std::string_view content);

// Syncs a directory, so that renames and new files in it are durable. Has no effect if the file system cannot sync one.
void sync_directory(const std::filesystem::path& directory);

// Renames a file or folder, durably. A folder that exists at `to` is replaced and then removed. The replacement is
// atomic if the file system can exchange two names. Otherwise the old folder is first renamed to `to`.replaced.part.
// An old folder that cannot be removed stays, as `from` or `to`.replaced.part.
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);

// `path` + ".part": the file that holds the bytes of `path` until commit().
std::filesystem::path part_of(const std::filesystem::path& path);

// Returns {pattern} if that path exists, else the paths that match the shell pattern (*, ?, [..]), sorted by bytes.
// Throws Error if nothing matches or the pattern is too long, and Unreadable if a folder that may hold matches cannot
// be read. If nothing matches and the pattern's folder holds a get.sh, the message names this script.
std::vector<std::filesystem::path> expand_glob(const std::string& pattern);

// A 64-bit checksum that detects damage, but not forgery: XXH64 of the xxHash specification
// (github.com/Cyan4973/xxHash) with seed 0. add() may be called with pieces of any size.
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
