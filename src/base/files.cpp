#include "base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/mapped_guard.h"

namespace rowan {
namespace {

[[noreturn]] void fail_errno(const char* action, const std::filesystem::path& path) {
  int code = errno;
  fail("cannot {} {}: {}", action, path.string(), std::strerror(code));
}

// Like fail_errno(), but throws Unreadable unless the file is missing.
[[noreturn]] void fail_read(const char* action, const std::filesystem::path& path) {
  const int code = errno;
  if (code == ENOENT || code == ENOTDIR) fail_errno(action, path);
  throw Unreadable(one_line(fmt::format("cannot {} {}: {}", action, path.string(), std::strerror(code))));
}

const char* kind_of(mode_t mode) {
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

// A file opened for reading, and its size. Only regular files are allowed, because reading a pipe or a device may never
// end.
struct OpenFile {
  int fd;
  size_t size;

  explicit OpenFile(const std::filesystem::path& path) : fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (fd < 0) fail_read("open", path);
    struct stat info;
    const bool known = ::fstat(fd, &info) == 0;
    if (!known || !S_ISREG(info.st_mode)) {
      const int code = known && S_ISDIR(info.st_mode) ? EISDIR : errno;
      ::close(fd);
      if (known && !S_ISDIR(info.st_mode))
        fail("cannot read {}: found {}, expected a file", path.string(), kind_of(info.st_mode));
      errno = code;
      fail_read("read", path);
    }
    size = static_cast<size_t>(info.st_size);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() { ::close(fd); }
};

// Counts the lines of a file without allocating memory.
size_t count_lines(const char* path) {
  size_t lines = 0;
  char buffer[4096];
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  for (ssize_t got; fd >= 0 && (got = ::read(fd, buffer, sizeof buffer)) > 0;)
    lines += static_cast<size_t>(std::count(buffer, buffer + got, '\n'));
  if (fd >= 0) ::close(fd);
  return lines;
}

// Linux limits a process to vm.max_map_count mappings. At that limit large allocations fail too, so this function uses
// only small buffers.
[[noreturn]] void fail_map(const std::filesystem::path& path) {
  const int code = errno;
  char text[32] = {};
  if (const int fd = ::open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC); fd >= 0) {
    if (::read(fd, text, sizeof text - 1) < 0) text[0] = '\0';
    ::close(fd);
  }
  const size_t most = std::strtoull(text, nullptr, 10);
  if (code == ENOMEM && most > 0 && count_lines("/proc/self/maps") + 100 > most)
    throw Unreadable(one_line(fmt::format(
        "cannot map {}: this process has reached the limit of {} mappings (vm.max_map_count); use fewer, larger files",
        path.string(), most)));
  errno = code;
  fail_read("map", path);
}

std::filesystem::path parent_of(const std::filesystem::path& file) {
  return file.has_parent_path() ? file.parent_path() : ".";
}

// The file that a write to `path` replaces. A rename would replace a symbolic link itself, so links are followed, also
// to a file that does not exist yet. Links of the system, such as /dev/stdout, are refused.
std::filesystem::path write_target(const std::filesystem::path& path) {
  std::error_code unknown;  // opening the .part file then fails, too
  std::filesystem::path target = path;
  for (int links = 0;; ++links) {
    const bool link = std::filesystem::is_symlink(target, unknown);
    if (!link && links == 0) return path;
    const std::string folder = std::filesystem::weakly_canonical(parent_of(target), unknown).string() + "/";
    if (folder.starts_with("/proc/") || (folder.starts_with("/dev/") && !folder.starts_with("/dev/shm/")))
      fail("cannot write {}: found a symbolic link in or to {}, expected a file outside /dev and /proc", path.string(),
           folder);
    if (!link) return target;
    if (links == 40) fail("cannot write {}: {}", path.string(), std::strerror(ELOOP));
    target = parent_of(target) / std::filesystem::read_symlink(target, unknown);
  }
}

}  // namespace

void sync_directory(const std::filesystem::path& directory) {
  int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail_errno("open directory", directory);
  int result = ::fsync(fd), code = errno;
  ::close(fd);
  errno = code;
  // Some network file systems cannot sync a directory. A rename on them may be lost in a crash.
  if (result != 0 && errno != EINVAL && errno != ENOTSUP) fail_errno("sync directory", directory);
}

void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
  // The path of the replaced folder until its removal; empty if no folder is replaced.
  std::filesystem::path old;
  if (std::filesystem::is_directory(to)) {
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) {
      old = from;
    } else if (errno == EINVAL || errno == ENOSYS || errno == ENOTSUP) {  // NFS, for example, cannot exchange names
      old = to.string() + ".replaced.part";
      std::filesystem::remove_all(old);
      if (::rename(to.c_str(), old.c_str()) != 0) fail_errno("replace", to);
    } else {
      fail_errno("replace", to);
    }
  }
  if (old != from && ::rename(from.c_str(), to.c_str()) != 0) fail_errno("rename to", to);
  sync_directory(parent_of(to));
  std::error_code ignored;  // the new folder is in place
  if (!old.empty()) std::filesystem::remove_all(old, ignored);
}

std::string message_of(const std::exception& error) {
  if (const auto* of_file = dynamic_cast<const std::filesystem::filesystem_error*>(&error);
      of_file && !of_file->path1().empty())
    return one_line(of_file->path1().string() + ": " + of_file->code().message());
  if (dynamic_cast<const Error*>(&error) || dynamic_cast<const std::system_error*>(&error))
    return one_line(error.what());
  if (dynamic_cast<const std::bad_alloc*>(&error)) return "out of memory";
  return one_line(std::string("internal error: ") + error.what());
}

void make_directories(const std::filesystem::path& path) {
  std::error_code error, unknown;
  std::filesystem::create_directories(path, error);
  if (error && std::filesystem::is_symlink(path, unknown) && !std::filesystem::exists(path, unknown))
    fail("cannot create the directory {}: found a symbolic link to {}, which does not exist", path.string(),
         std::filesystem::read_symlink(path, unknown).string());
  if (error) fail("cannot create the directory {}: {}", path.string(), error.message());
}

std::string read_file(const std::filesystem::path& path) {
  OpenFile file(path);
  constexpr size_t most = size_t{4} << 30;  // a larger file could exhaust memory
  if (file.size > most) fail("cannot read {}: found {} bytes, expected at most {}", path.string(), file.size, most);
  std::string content(file.size, '\0');
  size_t used = 0;
  // A file in /proc may report size 0, so read until read() reports the end.
  while (true) {
    if (used == content.size()) content.resize(content.size() + 65536);
    ssize_t got = ::read(file.fd, content.data() + used, content.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_read("read", path);
    if (got == 0) break;
    used += static_cast<size_t>(got);
  }
  content.resize(used);
  return content;
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  OpenFile file(path);
  size_ = file.size;
  if (size_ == 0) return;
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (address == MAP_FAILED) fail_map(path);
  data_ = static_cast<const std::byte*>(address);
  guard_mapping(data_, size_, path);
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  unguard_mapping(data_);
  ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(write_target(path)), part_(part_of(path_)) {
  struct stat info;
  if (::stat(path_.c_str(), &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))  // such as /dev/null
    fail("cannot write {}: found {}, expected a file", path_.string(), kind_of(info.st_mode));
  // A killed process may have left a .part file. Another user may have placed a symbolic link with this name, which
  // must not be followed.
  ::unlink(part_.c_str());
  fd_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd_ < 0) fail_errno("create", part_);
}

AtomicFile::AtomicFile(std::filesystem::path path, uint64_t keep_bytes)
    : path_(std::move(path)), part_(part_of(path_)), keep_part_(true), size_(keep_bytes) {
  fd_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
  if (fd_ < 0) fail_errno("create", part_);
  struct stat info;
  bool found = ::fstat(fd_, &info) == 0;
  if (found && static_cast<uint64_t>(info.st_size) < keep_bytes) {
    ::close(fd_);
    fail("{}: found {} bytes, expected at least the {} written before", part_.string(), info.st_size, keep_bytes);
  }
  if (!found || ::ftruncate(fd_, static_cast<off_t>(keep_bytes)) != 0) {
    int code = errno;
    ::close(fd_);
    errno = code;
    fail_errno("truncate", part_);
  }
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  if (!keep_part_) ::unlink(part_.c_str());
}

void AtomicFile::sync() {
  if (::fsync(fd_) != 0) fail_errno("sync", part_);
}

void AtomicFile::write(const void* data, size_t bytes) {
  write_at(size_, data, bytes);
  size_ += bytes;
}

void AtomicFile::write_at(uint64_t offset, const void* data, size_t bytes) {
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    ssize_t done = ::pwrite(fd_, from, bytes, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail_errno("write", path_);
    from += done;
    offset += static_cast<uint64_t>(done);
    bytes -= static_cast<size_t>(done);
  }
}

void AtomicFile::commit() {
  if (::fsync(fd_) != 0) fail_errno("sync", path_);
  int closed = ::close(std::exchange(fd_, -1));
  if (closed != 0 || ::rename(part_.c_str(), path_.c_str()) != 0) {
    int code = errno;
    if (!keep_part_) ::unlink(part_.c_str());
    errno = code;
    fail_errno("write", path_);
  }
  sync_directory(parent_of(path_));
}

std::filesystem::path part_of(const std::filesystem::path& path) { return path.string() + ".part"; }

void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

namespace {

constexpr uint64_t prime1 = 0x9e3779b185ebca87ull, prime2 = 0xc2b2ae3d27d4eb4full, prime3 = 0x165667b19e3779f9ull,
                   prime4 = 0x85ebca77c2b2ae63ull, prime5 = 0x27d4eb2f165667c5ull;

uint64_t rotate(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }

template <typename T>
uint64_t load(const unsigned char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

uint64_t mix(uint64_t lane, uint64_t word) { return rotate(lane + word * prime2, 31) * prime1; }

void mix_block(uint64_t* lane, const unsigned char* block) {
  for (int i = 0; i < 4; ++i) lane[i] = mix(lane[i], load<uint64_t>(block + 8 * i));
}

}  // namespace

void Hash64::add(const void* data, size_t bytes) {
  const unsigned char* from = static_cast<const unsigned char*>(data);
  size_t filled = size_ % sizeof tail_;
  size_ += bytes;
  if (filled != 0) {
    size_t take = std::min(bytes, sizeof tail_ - filled);
    if (take > 0) std::memcpy(tail_ + filled, from, take);
    if (filled + take < sizeof tail_) return;
    mix_block(lane_, tail_);
    from += take;
    bytes -= take;
  }
  for (; bytes >= sizeof tail_; from += sizeof tail_, bytes -= sizeof tail_) mix_block(lane_, from);
  if (bytes > 0) std::memcpy(tail_, from, bytes);
}

uint64_t Hash64::value() const {
  uint64_t hash = prime5;
  if (size_ >= sizeof tail_) {
    hash = rotate(lane_[0], 1) + rotate(lane_[1], 7) + rotate(lane_[2], 12) + rotate(lane_[3], 18);
    for (uint64_t lane : lane_) hash = (hash ^ mix(0, lane)) * prime1 + prime4;
  }
  hash += size_;
  const unsigned char *from = tail_, *end = tail_ + size_ % sizeof tail_;
  for (; end - from >= 8; from += 8) hash = rotate(hash ^ mix(0, load<uint64_t>(from)), 27) * prime1 + prime4;
  if (end - from >= 4) {
    hash = rotate(hash ^ load<uint32_t>(from) * prime1, 23) * prime2 + prime3;
    from += 4;
  }
  for (; from != end; ++from) hash = rotate(hash ^ *from * prime5, 11) * prime1;
  hash = (hash ^ hash >> 33) * prime2;
  hash = (hash ^ hash >> 29) * prime3;
  return hash ^ hash >> 32;
}

uint64_t hash64(std::string_view bytes) {
  Hash64 hash;
  hash.add(bytes);
  return hash.value();
}

}  // namespace rowan
