// Mapped files that shrink while they are read. A read behind the new end raises SIGBUS. The guard's handler maps zeros
// there instead, so that the process can report the file and save its state.
#pragma once

#include <cstddef>
#include <filesystem>

#include "base/error.h"

namespace rowan {

// A mapping is guarded from guard_mapping() to unguard_mapping(), which comes before it is unmapped.
void guard_mapping(const std::byte* data, size_t size, const std::filesystem::path& path);
void unguard_mapping(const std::byte* data);

class ShrunkFile : public Error {
 public:
  using Error::Error;
};

// Throws ShrunkFile naming the file when zeros were read in place of its content. To be called after reading from
// mapped files, before the data is used.
void check_mapped_files();

}  // namespace rowan
