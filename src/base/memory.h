// How much memory is available to this process.
#pragma once

#include <cstddef>
#include <filesystem>

namespace rowan {

// The least of these numbers of bytes: the machine's available memory plus free swap, and the memory that the control
// group (cgroup v2) of this process, and each group around it, has left. An unknown number is ignored. SIZE_MAX if all
// are unknown. `root` is the folder that holds proc and sys.
size_t available_memory(const std::filesystem::path& root = "/");

}  // namespace rowan
