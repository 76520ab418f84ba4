// Recognizes kinds of folders, recognizes text, and checks whether a file may be replaced.
//
// Folders of different kinds share file names, such as config.json, so a command could mistake the files of another
// command for its own. Therefore check_folder() and check_outside_runs() check a folder before a command writes there,
// and check_replaced() checks a file before a command replaces it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/enum_names.h"

namespace rowan {

enum class FolderKind : uint8_t { run, checkpoint, shards, tales, exported, sweep };
constexpr auto names_of(FolderKind) {
  return enum_names("a run", "a checkpoint", "token shards", "tales", "an exported model", "a sweep");
}

// The kind of a folder, recognized by marker files; nullopt if the folder does not exist or has no marker file.
std::optional<FolderKind> folder_kind(const std::filesystem::path& folder);

// The first part of a path if it is ~ or begins with $; else "". A shell replaces it, but not in a file, in quotes or
// after --out=. A folder of that name would be easily removed by a command in which the shell does replace it.
std::string unexpanded_part(const std::filesystem::path& path);

// Throws Error if the path has an unexpanded_part(), or if folder_kind(folder) is another kind than `wanted`; the
// message names the marker file. If `wanted` is an exported model or a sweep, a folder without a marker file may hold
// only README.md, `lock`, .part files and hidden files. Any other file in it is an Error.
void check_folder(const std::filesystem::path& folder, FolderKind wanted);

// Throws Error if the folder is `/` or lies in the folder of a run, with whose files its own would be mixed. `key`
// names the setting in the message.
void check_outside_runs(const std::filesystem::path& folder, const char* key);

// Throws Error if the folder, where a run is to begin, holds the folders of other runs, at most three levels below it.
// Those could not go on then, because of check_outside_runs().
void check_holds_no_runs(const std::filesystem::path& folder, const char* key);

// A file may be replaced if it is a regular file that is empty or starts with `begins`. Throws Error if `file` exists
// and may not be replaced. `what` names the expected kind of file in the message.
void check_replaced(const std::filesystem::path& file, std::string_view begins, const char* what);

// Whether the first bytes of a file are text: they contain no control characters except white space. The bytes of token
// ids usually contain other control characters.
bool looks_like_text(std::string_view bytes);

}  // namespace rowan
