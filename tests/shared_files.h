// Finds real data for tests outside the repository, in $ROWAN_SHARED or in the folder `shared` beside the checkout.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "paths.h"

namespace rowan {

// The path of a shared file or folder, or "" if this machine does not have it.
inline std::filesystem::path shared_file(const std::string& relative) {
  const char* root = std::getenv("ROWAN_SHARED");
  std::filesystem::path path = std::filesystem::path(root ? root : source_path("../shared")) / relative;
  return std::filesystem::exists(path) ? path : std::filesystem::path();
}

}  // namespace rowan

// Defines `name` as the path of a shared file or folder. If this path does not exist, skips the test with a message
// that names the path.
#define ROWAN_SHARED_OR_SKIP(name, relative)                         \
  const std::filesystem::path name = ::rowan::shared_file(relative); \
  if (name.empty()) GTEST_SKIP() << "needs " << relative << " from the folder named by ROWAN_SHARED"
