// Identifies files and folders independently of their names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace rowan {

// Device and inode number.
using FileIdentity = std::pair<uint64_t, uint64_t>;
// Throws Error if there is no such file, or if it cannot be looked at. Names where a dangling link leads.
FileIdentity file_identity(const std::filesystem::path& path);

// Whether the path leads to the file that is open as `fd`. False if it was removed or replaced.
bool is_open_file(const std::filesystem::path& path, int fd);

// Throws Error if a file or folder is given twice, under one name or two.
void check_given_once(const std::vector<std::string>& paths);

}  // namespace rowan
