// Handles mapped files that shrink or fail while they are read. A read of a page past the new end, or of one that the
// disk does not give, raises SIGBUS. The signal handler maps a page of zeros there, so that the process can report the
// file and save its state.
#pragma once

#include <cstddef>
#include <filesystem>

namespace rowan {

// A mapping is guarded between these two calls. Call unguard_mapping() before munmap().
void guard_mapping(const std::byte* data, size_t size, const std::filesystem::path& path);
void unguard_mapping(const std::byte* data);

// Throws Error if zeros were ever read in place of a file's content. The message names the file, and says whether it
// became shorter or failed. Call it after reading from mapped files and before using the data.
void check_mapped_files();

}  // namespace rowan
