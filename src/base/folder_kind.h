// Which kind of folder this is, and whether a file may be replaced.
// Kinds of folders share file names, so one kind would take the other's files for its own. Hence nothing is written
// into a folder of another kind, and no file replaces an unrelated one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/enum_names.h"

namespace rowan {

enum class FolderKind : uint8_t { run, checkpoint, shards, tales, exported, sweep };
constexpr auto names_of(FolderKind) {
  return enum_names("a run", "a checkpoint", "token shards", "tales", "an exported model", "a sweep");
}

// Throws Error if `folder` is of another kind than `wanted`, and names the file that shows it. Files that only folders
// of one kind have tell the kind. A folder that does not exist, or has none of these files, fits every kind.
void check_folder(const std::filesystem::path& folder, FolderKind wanted);

// Throws Error if `file` exists, is not empty and does not start with `begins`, as a `what` does.
void check_replaced(const std::filesystem::path& file, std::string_view begins, const char* what);

}  // namespace rowan
