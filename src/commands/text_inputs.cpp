#include "commands/text_inputs.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "corpus/raw_text.h"

namespace rowan {
namespace {

// The text files in a folder and its subfolders, sorted by path. Hidden files and folders are skipped.
std::vector<std::filesystem::path> texts_in(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  std::vector<fs::path> found;
  for (auto at = fs::recursive_directory_iterator(folder, fs::directory_options::skip_permission_denied);
       at != fs::recursive_directory_iterator(); ++at) {
    const bool hidden = at->path().filename().string().starts_with('.');
    if (hidden && at->is_directory()) at.disable_recursion_pending();
    if (!hidden && at->is_regular_file() && has_text_name(at->path().string())) found.push_back(at->path());
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.native() < b.native(); });
  if (found.empty()) fail("{}: found no .txt, .md, .jsonl, .ndjson or .json in this folder", folder.string());
  return found;
}

}  // namespace

std::vector<std::string> expand_texts(const std::vector<std::string>& arguments, uint64_t& bytes) {
  std::vector<std::string> paths;
  auto take = [&](const std::filesystem::path& path) {
    if (!std::filesystem::is_regular_file(path)) fail("{}: found neither a file nor a folder", path.string());
    paths.push_back(path.string());
    bytes += std::filesystem::file_size(path);
  };
  for (const std::string& argument : arguments) {
    if (argument == "-") {
      paths.push_back(argument);
      continue;
    }
    for (const std::filesystem::path& path : expand_glob(argument)) {
      if (!std::filesystem::is_directory(path))
        take(path);
      else
        for (const std::filesystem::path& text : texts_in(path)) take(text);
    }
  }
  return paths;
}

std::string usual_validation(const std::vector<std::string>& inputs, uint64_t bytes) {
  constexpr double most = 50e6, percent = 10;
  if (std::find(inputs.begin(), inputs.end(), "-") != inputs.end()) return "hash:0.01";
  return fmt::format("last:{:.3g}%", std::min(percent, 100 * most / static_cast<double>(std::max<uint64_t>(bytes, 1))));
}

}  // namespace rowan
