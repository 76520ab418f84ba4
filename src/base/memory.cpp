#include "base/memory.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string>

namespace rowan {
namespace {

// The number that follows the first occurrence of the word `wanted` in a file.
std::optional<uint64_t> number_behind(const std::string& path, const std::string& wanted) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    uint64_t number;
    if (word == wanted && file >> number) return number;
  }
  return {};
}

// The number at the start of a file; nullopt if there is none, as in a file that holds "max".
std::optional<uint64_t> number_in(const std::string& path) {
  std::ifstream file(path);
  uint64_t number;
  if (file >> number) return number;
  return {};
}

// The folder of this process's control group, from a line such as "0::/user.slice" of /proc/self/cgroup; empty without
// cgroup v2.
std::string control_group() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("0::")) return "/sys/fs/cgroup" + line.substr(3);
  return "";
}

}  // namespace

size_t available_memory() {
  size_t available = SIZE_MAX;
  if (auto kibibytes = number_behind("/proc/meminfo", "MemAvailable:"))
    available = 1024 * (*kibibytes + number_behind("/proc/meminfo", "SwapFree:").value_or(0));
  if (const std::string group = control_group(); !group.empty()) {
    const auto limit = number_in(group + "/memory.max"), used = number_in(group + "/memory.current");
    // Inactive cached pages of files count as available, because the kernel reclaims them when memory is short.
    const uint64_t cached = number_behind(group + "/memory.stat", "inactive_file").value_or(0);
    if (limit && used)
      available = std::min<size_t>(available, *limit - std::min(*limit, *used - std::min(*used, cached)));
  }
  return available;
}

}  // namespace rowan
