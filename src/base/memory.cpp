#include "base/memory.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

namespace rowan {
namespace {

namespace fs = std::filesystem;

// The number that follows the first occurrence of the word `wanted` in a file.
std::optional<uint64_t> number_behind(const fs::path& path, const std::string& wanted) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    uint64_t number;
    if (word == wanted && file >> number) return number;
  }
  return {};
}

// The number at the start of a file; nullopt if there is none, as in a file that holds "max".
std::optional<uint64_t> number_in(const fs::path& path) {
  std::ifstream file(path);
  uint64_t number;
  if (file >> number) return number;
  return {};
}

// The memory that the limit of one control group leaves; nullopt if it has none.
std::optional<uint64_t> left_in(const fs::path& group) {
  const auto limit = number_in(group / "memory.max"), used = number_in(group / "memory.current");
  if (!limit || !used) return {};
  // Inactive cached pages of files count as available, because the kernel reclaims them when memory is short.
  const uint64_t cached = number_behind(group / "memory.stat", "inactive_file").value_or(0);
  return *limit - std::min(*limit, *used - std::min(*used, cached));
}

// The path of this process's control group, from a line such as "0::/user.slice" of /proc/self/cgroup; nullopt without
// cgroup v2.
std::optional<fs::path> control_group(const fs::path& root) {
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("0::/")) return fs::path(line.substr(4)).lexically_normal();
  return {};
}

}  // namespace

size_t available_memory(const fs::path& root) {
  size_t available = SIZE_MAX;
  if (auto kibibytes = number_behind(root / "proc/meminfo", "MemAvailable:"))
    available = 1024 * (*kibibytes + number_behind(root / "proc/meminfo", "SwapFree:").value_or(0));
  if (const auto group = control_group(root)) {
    // Every group on the way limits the groups in it: Slurm sets the limit of a job above those of its steps.
    fs::path place = root / "sys/fs/cgroup";
    if (const auto left = left_in(place)) available = std::min<size_t>(available, *left);
    for (const fs::path& part : *group) {
      if (part == "..") break;  // the process has left the groups that are visible here
      place /= part;
      if (const auto left = left_in(place)) available = std::min<size_t>(available, *left);
    }
  }
  return available;
}

}  // namespace rowan
