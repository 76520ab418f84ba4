#include "paths.h"

#include <cctype>
#include <cstdlib>
#include <cstring>

namespace rowan {

// Measurements of the machine are kept beside the program under test, unless XDG_CACHE_HOME is already set.
[[maybe_unused]] static const int cache = ::setenv("XDG_CACHE_HOME", ROWAN_BINARY ".cache", 0);
// With a locale that is not installed, bash warns, and tests that count lines would fail.
[[maybe_unused]] static const int locale = ::setenv("LC_ALL", "C", 1);

std::string source_path(const std::string& relative) { return ROWAN_SOURCE_DIR "/" + relative; }
std::string rowan_binary() { return ROWAN_BINARY; }
std::string quoted(const std::string& path) {
  std::string text;
  for (const char c : path) {
    if (c > 0 && !std::isalnum(c) && !std::strchr("/._-+,:=@%", c)) text += '\\';
    text += c;
  }
  return text;
}
std::string rowan_command() { return quoted(rowan_binary()); }
std::string mpirun() { return ROWAN_MPIRUN; }

}  // namespace rowan
