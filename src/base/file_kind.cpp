#include "base/file_kind.h"

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

// The first entry of marks[] that has a file in the folder determines the kind of the folder. A checkpoint may also
// hold marker files of an exported model and of shards, so the entry of checkpoints comes before the entries of those
// kinds.
struct Mark {
  FolderKind kind;
  std::vector<const char*> files;
};
const Mark marks[] = {
    {FolderKind::run, {"starts.jsonl", "checkpoints", "metrics.jsonl"}},
    {FolderKind::checkpoint, {"state.json", "optimizer.safetensors", "optimizer.safetensors.index.json"}},
    {FolderKind::sweep, {"diverged"}},
    {FolderKind::tales, {"entropy.json"}},
    {FolderKind::exported, {"generation_config.json", "model.safetensors"}},
    {FolderKind::shards, {"manifest.json", "progress.json"}},
};

std::optional<std::string> file_of(const Mark& mark, const fs::path& folder) {
  std::error_code unreadable;
  for (const char* name : mark.files)
    if (fs::exists(folder / name, unreadable)) return name;
  return {};
}

// Whether a run has started in the folder.
bool has_started(const fs::path& folder) {
  std::error_code unreadable;
  return fs::exists(folder / "starts.jsonl", unreadable);
}

// Whether files in a folder of this kind have names that other programs use too.
bool writes_fixed_names(FolderKind kind) { return kind == FolderKind::exported || kind == FolderKind::sweep; }

// Whether an export or a sweep may be written beside this file. A command that was interrupted at its start leaves
// `lock` and .part files. A clone of an empty model repository holds README.md and hidden files.
bool may_be_beside(const std::string& name) {
  return name.starts_with('.') || name == "lock" || name.ends_with(".part") || name == "README.md";
}

}  // namespace

std::optional<FolderKind> folder_kind(const fs::path& folder) {
  for (const Mark& mark : marks)
    if (file_of(mark, folder)) return mark.kind;
  return {};
}

std::string unexpanded_part(const fs::path& path) {
  const std::string first = path.empty() ? "" : path.begin()->string();
  return first == "~" || first.starts_with('$') ? first : "";
}

void check_folder(const fs::path& folder, FolderKind wanted) {
  if (const std::string part = unexpanded_part(folder); !part.empty())
    fail(
        "{0}: found a path with {1}, which only a shell replaces, expected one without it; a folder of this name is "
        "./{0}",
        folder.string(), part);
  // MISSING/../FOLDER leads to FOLDER only when MISSING has been made, after this check.
  fs::path before;
  for (const fs::path& part : folder) {
    if (part == ".." && !before.empty() && !fs::exists(before))
      fail("{}: found .. after {}, which does not exist, expected a path without it", folder.string(), before.string());
    before /= part;
  }
  for (const Mark& mark : marks) {
    const auto file = file_of(mark, folder);
    if (file && mark.kind == wanted) return;
    if (file)
      fail("{}: found {} with its {}, expected {} or an empty folder; choose another", folder.string(),
           name_of(mark.kind), *file, name_of(wanted));
  }
  if (!writes_fixed_names(wanted) || !fs::is_directory(folder)) return;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (!may_be_beside(name))
      fail("{}: found a folder with {}, expected {} or an empty folder; choose another", folder.string(), name,
           name_of(wanted));
  }
}

void check_outside_runs(const fs::path& folder, const char* key) {
  const fs::path place = fs::weakly_canonical(fs::absolute(folder));
  if (place == place.root_path()) fail("{}: found {}, expected a folder of its own", key, folder.string());
  for (fs::path above = place; above != above.parent_path();) {
    above = above.parent_path();
    if (has_started(above))
      fail("{}: found {} in the folder of a run, {}; choose a folder outside of it", key, folder.string(),
           above.string());
  }
}

void check_holds_no_runs(const fs::path& folder, const char* key) {
  constexpr int levels = 3;
  std::error_code unreadable;
  for (auto entry = fs::recursive_directory_iterator(folder, fs::directory_options::skip_permission_denied, unreadable);
       !unreadable && entry != fs::recursive_directory_iterator(); entry.increment(unreadable)) {
    if (entry.depth() + 1 == levels) entry.disable_recursion_pending();
    std::error_code missing;
    if (!entry->is_symlink(missing) && entry->is_directory(missing) && has_started(entry->path()))
      fail("{}: found {}, which holds the folder of another run, {}; choose a folder for this run alone", key,
           folder.string(), entry->path().string());
  }
}

void check_replaced(const fs::path& file, std::string_view begins, const char* what) {
  std::error_code unreadable;
  if (!fs::exists(file, unreadable)) return;
  if (!fs::is_regular_file(file, unreadable))
    fail("{}: found no regular file, expected {}; choose another name", file.string(), what);
  std::string head(begins.size(), '\0');
  std::ifstream(file, std::ios::binary).read(head.data(), static_cast<std::streamsize>(head.size()));
  if (head != begins && fs::file_size(file) > 0)
    fail("{}: found a file of another kind, expected {} or no file; choose another name", file.string(), what);
}

bool looks_like_text(std::string_view bytes) {
  const std::string_view head = bytes.substr(0, 4096);
  auto is_control = [](unsigned char c) { return c < ' ' && (c < '\t' || c > '\r'); };
  return !head.empty() && std::none_of(head.begin(), head.end(), is_control);
}

}  // namespace rowan
