// expand_glob() of base/files.h.
#include <dirent.h>
#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "base/error.h"
#include "base/files.h"

namespace rowan {
namespace {

// The first path that a glob() of this thread could not read, and why. It is global because callbacks of glob() take no
// argument.
struct UnreadPath {
  std::string path;
  int code = 0;
};
thread_local UnreadPath unread;

// Notes an error, unless it says that nothing is there. Always returns 0, with which glob() continues.
int note_unread(const char* path, int code) {
  const bool absent = code == 0 || code == ENOENT || code == ENOTDIR || code == ELOOP || code == ENAMETOOLONG;
  if (!absent && unread.code == 0) unread = {path, code};
  return 0;
}

template <int (*Stat)(const char*, struct stat*)>
int noted_stat(const char* path, struct stat* info) {
  const int result = Stat(path, info);
  if (result != 0) note_unread(path, errno);
  return result;
}

// glob(), which itself says nothing of folders that it cannot read. Throws Unreadable for them.
std::vector<std::filesystem::path> readable_glob(const std::string& pattern) {
  glob_t found = {};
  found.gl_opendir = [](const char* path) -> void* { return ::opendir(path); };
  found.gl_readdir = [](void* folder) { return ::readdir(static_cast<DIR*>(folder)); };
  found.gl_closedir = [](void* folder) { ::closedir(static_cast<DIR*>(folder)); };
  found.gl_stat = noted_stat<::stat>;
  found.gl_lstat = noted_stat<::lstat>;
  unread = {};
  const int code = ::glob(pattern.c_str(), GLOB_ALTDIRFUNC, note_unread, &found);
  std::vector<std::filesystem::path> paths(found.gl_pathv, found.gl_pathv + (code == 0 ? found.gl_pathc : 0));
  ::globfree(&found);
  if (unread.code != 0)
    throw Unreadable(one_line(fmt::format("{}: cannot read {}: {}", pattern, unread.path, std::strerror(unread.code))));
  return paths;
}

}  // namespace

std::vector<std::filesystem::path> expand_glob(const std::string& pattern) {
  if (pattern.empty()) fail("found an empty name, expected a file or pattern");
  if (pattern.size() >= PATH_MAX)  // glob() can overflow the stack on a longer pattern
    fail("{}...: found a pattern of {} bytes, expected at most {}", pattern.substr(0, 60), pattern.size(),
         PATH_MAX - 1);
  // An existing path may contain pattern characters.
  std::error_code unused;
  if (std::filesystem::exists(pattern, unused)) return {pattern};
  std::vector<std::filesystem::path> paths = readable_glob(pattern);
  if (paths.empty()) {
    const std::filesystem::path folder = std::filesystem::path(pattern).parent_path();
    const std::filesystem::path recipe = (folder.empty() ? "." : folder) / "get.sh";
    fail("{}: no such file{}", pattern,
         std::filesystem::exists(recipe, unused) ? "; " + recipe.string() + " makes it" : "");
  }
  // glob() sorts by locale, but results must not depend on the locale.
  std::sort(paths.begin(), paths.end(), [](const auto& a, const auto& b) { return a.native() < b.native(); });
  return paths;
}

}  // namespace rowan
