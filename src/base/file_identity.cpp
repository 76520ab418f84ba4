#include "base/file_identity.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <set>

#include "base/error.h"

namespace rowan {

FileIdentity file_identity(const std::filesystem::path& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) {
    const int code = errno;
    std::error_code unknown;
    if (const auto target = std::filesystem::read_symlink(path, unknown); code == ENOENT && !target.empty())
      fail("{}: found a symbolic link to {}, which does not exist", path.string(), target.string());
    fail("cannot read {}: {}", path.string(), std::strerror(code));
  }
  return {info.st_dev, info.st_ino};
}

bool is_open_file(const std::filesystem::path& path, int fd) {
  struct stat open = {}, named = {};
  return ::fstat(fd, &open) == 0 && ::stat(path.c_str(), &named) == 0 && open.st_ino == named.st_ino &&
         open.st_dev == named.st_dev;
}

void check_given_once(const std::vector<std::string>& paths) {
  std::set<std::string> names;
  std::map<FileIdentity, std::string> seen;
  for (const std::string& path : paths) {
    if (!names.insert(path).second) fail("{}: given twice", path);
    if (std::error_code absent; !std::filesystem::exists(path, absent)) continue;
    if (const auto [at, fresh] = seen.emplace(file_identity(path), path); !fresh)
      fail("{}: given twice, also as {}", path, at->second);
  }
}

}  // namespace rowan
