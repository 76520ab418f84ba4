// What the entry points of the fuzzed families share.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string_view>

#include "base/error.h"
#include "fuzz/families.h"
#include "temporary_folder.h"

namespace rowan {

using Strings = std::vector<std::string>;

inline void promise(bool kept, const char* what) {
  if (!kept) throw std::logic_error(what);
}

// A folder for inputs that are read from files; in memory if the system has /dev/shm.
inline const TemporaryFolder& folder() {
  static const TemporaryFolder folder(std::filesystem::exists("/dev/shm") ? "/dev/shm"
                                                                          : std::filesystem::temp_directory_path());
  return folder;
}

template <typename Action>
void result_or_error(Action action) {
  try {
    action();
  } catch (const Error& error) {
    promise(std::string_view(error.what()).find('\n') == std::string_view::npos, "an error message is one line");
  }
}

}  // namespace rowan
