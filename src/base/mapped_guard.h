// Mapped files that become shorter while they are read. The system sends SIGBUS to who reads behind the new end; the
// guard answers with zeros, so that the process can say what happened and save what it has.
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

// Throws ShrunkFile naming a file of which zeros were read that are not its own. Whoever has read from mapped files
// calls it before it uses what it read.
void check_mapped_files();

}  // namespace rowan
