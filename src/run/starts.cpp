#include "run/starts.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/files.h"
#include "base/json.h"
#include "base/json_path.h"

namespace rowan {
namespace {

// Whether changes_on_the_way() reports a change of the value at this JSON pointer: it shapes the updates or the
// validation losses. run.steps is in the list because it is the length of the schedule.
bool shapes_results(const std::string& pointer) {
  for (const char* section : {"/model/", "/optimizer/", "/schedule/", "/batch/", "/data/train", "/data/mixture",
                              "/data/documents", "/data/validation", "/data/batch_means", "/run/eval_tokens",
                              "/grad_clip", "/z_loss", "/precision", "/reduce", "/residual", "/skip/", "/run/steps"})
    if (pointer.starts_with(section)) return pointer != "/batch/micro_batch";
  return false;
}

std::string shown_value(const Json& value) {
  return value.is_null() ? "none" : value.is_string() ? value.get<std::string>() : value.dump();
}

// The changed settings that are in effect from step `begin` on. A start of the run began at this step.
struct Stretch {
  int64_t begin = 0;
  std::map<std::string, Json> values;
};

}  // namespace

std::vector<Json> read_starts(const std::filesystem::path& run_dir, const Note& note) {
  std::vector<Json> records;
  const std::filesystem::path file = run_dir / "starts.jsonl";
  if (!std::filesystem::exists(file)) return records;
  const std::string text = read_file(file);
  int64_t number = 0, broken = 0, first_broken = 0;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    Json record = try_parse_json(std::string_view(text).substr(begin, end - begin));
    ++number;
    if (record.is_object())
      records.push_back(std::move(record));
    else if (broken++ == 0)
      first_broken = number;
  }
  if (broken)
    note(fmt::format("{}, line {}: found an invalid record of a start; left out{}", file.string(), first_broken,
                     broken > 1 ? fmt::format(", with {} other such lines", broken - 1) : ""));
  return records;
}

std::string config_file_of(const std::vector<Json>& starts) {
  for (auto start = starts.rbegin(); start != starts.rend(); ++start)
    if (start->contains("file") && (*start)["file"].is_string()) return (*start)["file"];
  return "";
}

std::optional<Json> last_config(const std::vector<Json>& starts) {
  if (starts.empty() || !starts.back().contains("config") || !starts.back()["config"].is_object()) return {};
  return starts.back()["config"];
}

std::vector<std::string> changes_on_the_way(const std::vector<Json>& starts) {
  // By path. first: the values before any change. now: the values after the changes so far.
  std::map<std::string, Json> first, now;
  std::vector<Stretch> stretches;
  for (const Json& start : starts) {
    if (!start.contains("step") || !start["step"].is_number_integer()) continue;
    const int64_t step = start["step"];
    if (start.contains("changes") && start["changes"].is_object())
      for (const auto& [pointer, change] : start["changes"].items())
        if (shapes_results(pointer) && change.is_object()) {
          first.try_emplace(pointer, change.value("from", Json()));
          now[pointer] = change.value("to", Json());
        }
    // Training continues from this step, so earlier starts that began at this step or later no longer count.
    std::erase_if(stretches, [&](const Stretch& stretch) { return stretch.begin >= step; });
    stretches.push_back({step, now});
  }
  std::vector<std::string> texts;
  for (const auto& [pointer, at_first] : first) {
    std::string text;
    const Json* before = nullptr;
    for (const Stretch& stretch : stretches) {
      const auto found = stretch.values.find(pointer);
      const Json& value = found == stretch.values.end() ? at_first : found->second;
      if (!before)
        text = fmt::format("{} {}", dotted_path(pointer), shown_value(value));
      else if (value != *before)
        text += fmt::format(", from step {} on {}", stretch.begin, shown_value(value));
      before = &value;
    }
    if (text.find(", from step ") != std::string::npos) texts.push_back(text);
  }
  return texts;
}

}  // namespace rowan
