// What a folder or file already holds. Nothing of ours is written into a folder of another kind, where names are shared
// and one would take the other's files for its own; and no file takes the place of something else.
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

// Throws Error naming a file of another kind when `folder` is not yet of the kind that is wanted there. A folder that
// does not exist fits every kind, and so does one that holds nothing of ours. A kind is known by files that only its
// folders have.
void check_folder(const std::filesystem::path& folder, FolderKind wanted);

// Throws Error when `file` exists and does not begin as `what`, which is to replace it, does.
void check_replaced(const std::filesystem::path& file, std::string_view begins, const char* what);

}  // namespace rowan
