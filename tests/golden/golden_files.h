// Finds golden files in some folders, the roots. The first roots are the folders that $ROWAN_GOLDEN names, separated by
// colons. If this variable is not set, the first root is the folder shared/golden beside the checkout. The last root is
// the project's own small set in the checkout. A root that does not exist is left out, because a test program may run
// on a machine without the checkout.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "paths.h"

namespace rowan {

// The backend on which the golden cases run. Each test program defines this function.
std::unique_ptr<Backend> make_golden_backend();

// The folders that $ROWAN_GOLDEN names, whether they exist or not.
inline std::vector<std::filesystem::path> named_golden_roots() {
  std::vector<std::filesystem::path> roots;
  const char* given = std::getenv("ROWAN_GOLDEN");
  std::istringstream names(given ? given : "");
  for (std::string name; std::getline(names, name, ':');)
    if (!name.empty()) roots.emplace_back(name);
  return roots;
}

inline std::vector<std::filesystem::path> golden_roots() {
  std::vector<std::filesystem::path> roots = named_golden_roots();
  if (!std::getenv("ROWAN_GOLDEN")) roots.emplace_back(source_path("../shared/golden"));
  roots.emplace_back(source_path("tests/golden/data"));
  std::erase_if(roots, [](const auto& root) { return !std::filesystem::is_directory(root); });
  return roots;
}

// In every root, the sub-folders of `room` (such as "trajectories") that contain `file`.
inline std::vector<std::filesystem::path> golden_cases(const std::string& room, const std::string& file) {
  std::vector<std::filesystem::path> cases;
  for (const auto& root : golden_roots())
    if (std::filesystem::is_directory(root / room))
      for (const auto& entry : std::filesystem::directory_iterator(root / room))
        if (std::filesystem::exists(entry.path() / file)) cases.push_back(entry.path());
  std::sort(cases.begin(), cases.end());
  return cases;
}

// The folders that contain batch.safetensors, at any depth of a root. Each is the golden case of a whole model.
inline std::vector<std::filesystem::path> golden_models() {
  std::vector<std::filesystem::path> cases;
  for (const auto& root : golden_roots())
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root))
      if (entry.path().filename() == "batch.safetensors") cases.push_back(entry.path().parent_path());
  std::sort(cases.begin(), cases.end());
  return cases;
}

}  // namespace rowan
