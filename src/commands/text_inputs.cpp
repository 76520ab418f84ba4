#include "commands/text_inputs.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/console.h"
#include "base/error.h"
#include "base/files.h"
#include "corpus/raw_text.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

constexpr char text_names[] = ".txt, .md, .jsonl, .ndjson or .json";

void sort_by_bytes(std::vector<fs::path>& paths) {
  std::sort(paths.begin(), paths.end(), [](const auto& a, const auto& b) { return a.native() < b.native(); });
}

// Files in the given folders that are not read.
struct PassedOver {
  size_t count = 0;
  std::string first;

  void add(const fs::path& path, const char* why = "") {
    if (count++ == 0) first = path.string() + why;
  }
  std::string text() const {
    return fmt::format("passed over {} file{} (first: {})", count, count == 1 ? "" : "s", first);
  }
};

// Whether a file begins with the byte order mark of UTF-16, as some programs on Windows write text.
bool is_utf16(const std::string& path) {
  char mark[2] = {};
  std::ifstream(path, std::ios::binary).read(mark, sizeof mark);
  const std::string_view found(mark, sizeof mark);
  return found == "\xff\xfe" || found == "\xfe\xff";
}

// The visible entries of a folder, sorted.
std::vector<fs::path> entries_in(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator at(folder, error); !error && at != fs::directory_iterator(); at.increment(error))
    if (!at->path().filename().string().starts_with('.')) entries.push_back(at->path());
  if (error) fail("cannot read the folder {}: {}", folder.string(), error.message());
  sort_by_bytes(entries);
  return entries;
}

// Adds the text files in a folder and below it. `visited` holds the folders seen so far, because links may lead to one
// of them again.
void add_texts(const fs::path& folder, std::vector<fs::path>& found, std::set<fs::path>& visited, PassedOver& passed) {
  std::error_code error;
  const fs::path place = fs::canonical(folder, error);
  if (error) fail("cannot read the folder {}: {}", folder.string(), error.message());
  if (!visited.insert(place).second) return;
  for (const fs::path& path : entries_in(folder)) {
    const fs::file_status status = fs::status(path, error);
    if (!fs::status_known(status) && error.value() != ELOOP) fail("cannot read {}: {}", path.string(), error.message());
    if (fs::is_directory(status))
      add_texts(path, found, visited, passed);
    else if (!fs::exists(status))
      passed.add(path, ", a broken link");
    else if (fs::is_regular_file(status) && has_text_name(path.string()))
      found.push_back(path);
    else
      passed.add(path);
  }
}

// The text files in a folder and its subfolders except `out`, sorted by path.
std::vector<fs::path> texts_in(const fs::path& folder, const fs::path& out, PassedOver& passed) {
  std::error_code missing;
  if (fs::equivalent(folder, out, missing))
    fail("{}: found the folder of --out among the inputs, expected another folder for the shards", folder.string());
  std::vector<fs::path> found;
  std::set<fs::path> visited;
  if (const fs::path place = fs::canonical(out, missing); !missing) visited.insert(place);
  add_texts(folder, found, visited, passed);
  sort_by_bytes(found);
  if (found.empty())
    fail("{}: found no {} in this folder{}", folder.string(), text_names, passed.count ? "; " + passed.text() : "");
  return found;
}

}  // namespace

std::vector<std::string> expand_texts(const std::vector<std::string>& arguments, uint64_t& bytes, const fs::path& out) {
  std::vector<std::string> paths;
  PassedOver passed;
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
        for (const std::filesystem::path& text : texts_in(path, out, passed)) take(text);
    }
  }
  if (passed.count) tell("{}; of folders, {} are read\n", passed.text(), text_names);
  const auto foreign = [](const std::string& path) { return path != "-" && is_utf16(path); };
  if (const auto count = std::count_if(paths.begin(), paths.end(), foreign); count > 0)
    tell("warning: {}{}: found the mark of UTF-16, but text is read as UTF-8; iconv -f UTF-16 -t UTF-8 converts it\n",
         *std::find_if(paths.begin(), paths.end(), foreign),
         count == 1 ? "" : fmt::format(" and {} other file{}", count - 1, count == 2 ? "" : "s"));
  return paths;
}

std::string usual_validation(const std::vector<std::string>& inputs, uint64_t bytes) {
  constexpr double most = 50e6, percent = 10;
  if (std::find(inputs.begin(), inputs.end(), "-") != inputs.end()) return "hash:0.01";
  return fmt::format("last:{:.3g}%", std::min(percent, 100 * most / static_cast<double>(std::max<uint64_t>(bytes, 1))));
}

}  // namespace rowan
