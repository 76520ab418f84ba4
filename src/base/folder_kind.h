// Which kind of folder this is, and whether a file may be replaced.
// Folders of different kinds share file names, such as config.json, so a command could mistake files of another kind
// for its own. Therefore no command writes into a folder of another kind, or replaces an unrelated file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

#include "base/enum_names.h"

namespace rowan {

enum class FolderKind : uint8_t { run, checkpoint, shards, tales, exported, sweep };
constexpr auto names_of(FolderKind) {
  return enum_names("a run", "a checkpoint", "token shards", "tales", "an exported model", "a sweep");
}

// The kind of a folder, recognized by marker files. Nothing if it does not exist or has none of them.
std::optional<FolderKind> folder_kind(const std::filesystem::path& folder);

// Throws Error if `folder` is of another kind than `wanted`. The message names the marker file.
// A folder
// without one passes as any kind, except that exports and sweeps are not written beside files of others.
void check_folder(const std::filesystem::path& folder, FolderKind wanted);

// Throws Error if `file` exists and is not a regular file, or is not empty and does not start with `begins`. `what`
// names the expected kind of file in the message.
void check_replaced(const std::filesystem::path& file, std::string_view begins, const char* what);

}  // namespace rowan
