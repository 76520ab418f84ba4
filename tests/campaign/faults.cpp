// This library is preloaded into the program under test. The library makes a system call fail, kills the process in
// that call, or only counts the calls. Only calls for files under ROWAN_FAULT_DIR count.
//
//   ROWAN_FAULT=CALL:N:HOW   selects the N-th call (from 1) of the kind CALL: open, write, fsync, rename, remove or any
//     HOW = kill             kills the process in this call
//     HOW = a number         the call fails with this errno, but fsync with EIO instead of ENOSPC
//     HOW = full             this write is short, or fails if it has one byte; all later writes fail with ENOSPC
//   ROWAN_FAULT_COUNT=FILE   receives "CALL N" lines when the process exits normally
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

enum Call { open_call, write_call, fsync_call, rename_call, remove_call, calls };
const char* const names[calls] = {"open", "write", "fsync", "rename", "remove"};
std::atomic<long> counts[calls];
std::atomic<bool> full = false;

struct Fault {
  int call = -1;  // index in `names`, or `calls` for any call
  long number = 0;
  int error = 0;  // errno of the call; -1: kill, -2: full
  const char* folder = nullptr;

  Fault() {
    folder = std::getenv("ROWAN_FAULT_DIR");
    const char* text = std::getenv("ROWAN_FAULT");
    char name[16] = "", how[16] = "";
    if (!text || std::sscanf(text, "%15[^:]:%ld:%15s", name, &number, how) != 3) return;
    call = calls;
    for (int i = 0; i < calls; ++i)
      if (!std::strcmp(name, names[i])) call = i;
    error = !std::strcmp(how, "kill") ? -1 : !std::strcmp(how, "full") ? -2 : std::atoi(how);
  }
};

const Fault& fault() {
  static const Fault instance;
  return instance;
}

bool counts_for(const char* path) {
  return fault().folder && path && !std::strncmp(path, fault().folder, std::strlen(fault().folder));
}

bool counts_for(int fd) {
  if (!fault().folder) return false;
  char link[64], path[4096];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = ::readlink(link, path, sizeof path - 1);
  if (length <= 0) return false;
  path[length] = 0;
  return counts_for(path);
}

// Returns the errno with which this call must fail, or 0.
int strike(Call call) {
  const long number = ++counts[call];
  long total = 0;
  for (const auto& count : counts) total += count;
  const Fault& f = fault();
  if (full && call == write_call) return ENOSPC;
  if (!((f.call == call && f.number == number) || (f.call == calls && f.number == total))) return 0;
  if (f.error == -1) ::kill(::getpid(), SIGKILL);
  if (f.error == -2) full = true;
  return f.error == -2 ? ENOSPC : f.error;
}

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

template <typename Write>
ssize_t write_as(Write write, int fd, size_t bytes) {
  const bool was_full = full;
  if (counts_for(fd))
    if (const int error = strike(write_call)) {
      if (full && !was_full && bytes > 1) return write(bytes / 2);
      errno = error;
      return -1;
    }
  return write(bytes);
}

struct CountsAtTheEnd {
  ~CountsAtTheEnd() {
    const char* file = std::getenv("ROWAN_FAULT_COUNT");
    if (!file) return;
    if (std::FILE* out = std::fopen(file, "w")) {
      for (int i = 0; i < calls; ++i) std::fprintf(out, "%s %ld\n", names[i], counts[i].load());
      std::fclose(out);
    }
  }
} counts_at_the_end;

int open_as(const char* real, const char* path, int flags, va_list rest) {
  const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
  if (counts_for(path))
    if (const int error = strike(open_call)) {
      errno = error;
      return -1;
    }
  return next<int(const char*, int, ...)>(real)(path, flags, mode);
}

int sync_as(const char* real, int fd) {
  if (counts_for(fd))
    if (const int error = strike(fsync_call)) {
      errno = error == ENOSPC ? EIO : error;
      return -1;
    }
  return next<int(int)>(real)(fd);
}

int remove_as(const char* real, const char* path) {
  if (counts_for(path))
    if (const int error = strike(remove_call)) {
      errno = error;
      return -1;
    }
  return next<int(const char*)>(real)(path);
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const int fd = open_as("open", path, flags, rest);
  va_end(rest);
  return fd;
}

int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const int fd = open_as("open64", path, flags, rest);
  va_end(rest);
  return fd;
}

ssize_t write(int fd, const void* data, size_t bytes) {
  auto real = next<ssize_t(int, const void*, size_t)>("write");
  return write_as([&](size_t some) { return real(fd, data, some); }, fd, bytes);
}

ssize_t pwrite(int fd, const void* data, size_t bytes, off_t at) {
  auto real = next<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  return write_as([&](size_t some) { return real(fd, data, some, at); }, fd, bytes);
}

ssize_t pwrite64(int fd, const void* data, size_t bytes, off64_t at) {
  auto real = next<ssize_t(int, const void*, size_t, off64_t)>("pwrite64");
  return write_as([&](size_t some) { return real(fd, data, some, at); }, fd, bytes);
}

int fsync(int fd) { return sync_as("fsync", fd); }
int fdatasync(int fd) { return sync_as("fdatasync", fd); }

int rename(const char* from, const char* to) noexcept {
  if (counts_for(to))
    if (const int error = strike(rename_call)) {
      errno = error;
      return -1;
    }
  return next<int(const char*, const char*)>("rename")(from, to);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  if (counts_for(to))
    if (const int error = strike(rename_call)) {
      errno = error;
      return -1;
    }
  return next<int(int, const char*, int, const char*, unsigned)>("renameat2")(from_folder, from, to_folder, to, flags);
}

// unlinkat() also counts as `remove`, because removing a folder with its content calls it.
int unlinkat(int folder, const char* path, int flags) noexcept {
  if (path[0] == '/' ? counts_for(path) : counts_for(folder))
    if (const int error = strike(remove_call)) {
      errno = error;
      return -1;
    }
  return next<int(int, const char*, int)>("unlinkat")(folder, path, flags);
}

int unlink(const char* path) noexcept { return remove_as("unlink", path); }
int rmdir(const char* path) noexcept { return remove_as("rmdir", path); }
int remove(const char* path) noexcept { return remove_as("remove", path); }
}
