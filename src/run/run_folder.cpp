#include "run/run_folder.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/error.h"
#include "base/file_kind.h"
#include "base/files.h"
#include "run/document_options.h"

namespace rowan {

namespace {

namespace fs = std::filesystem;

std::string steps_text(const std::vector<fs::path>& checkpoints) {
  std::string text = "the checkpoints are of steps";
  for (const fs::path& path : checkpoints) text += fmt::format(" {}", step_of(path));
  return text;
}

fs::path best_checkpoint(const fs::path& run, const std::vector<fs::path>& there, const Note& note) {
  fs::path best;
  double lowest = std::numeric_limits<double>::infinity(), lowest_of_all = lowest;
  int64_t step_of_lowest = 0;
  std::string changed;
  if (fs::exists(run / "metrics.jsonl"))
    for (const Json& row : read_metrics(run / "metrics.jsonl", note)) {
      if (begins_other_evaluation(row)) {  // earlier losses cannot be compared with later ones
        best.clear();
        lowest = lowest_of_all = std::numeric_limits<double>::infinity();
        changed = fmt::format(" since the evaluation changed at step {}", row["step"].get<int64_t>());
      }
      if (!row.contains("val_loss") || row["val_loss"].is_null() || row["val_loss"] >= lowest) continue;
      const int64_t step = row["step"].get<int64_t>();
      const auto loss = row["val_loss"].get<double>();
      if (loss < lowest_of_all) lowest_of_all = loss, step_of_lowest = step;
      const fs::path path = checkpoint_path(run / "checkpoints", step);
      if (std::find(there.begin(), there.end(), path) == there.end()) continue;
      best = path;
      lowest = loss;
    }
  if (best.empty())
    fail("{}: --step best: found no evaluated checkpoint{}; {}", run.string(), changed, steps_text(there));
  if (lowest_of_all < lowest)
    note(fmt::format("using {}; the lowest loss was at step {}, whose checkpoint is not kept; run.keep_best keeps it",
                     best.filename().string(), step_of_lowest));
  return best;
}

// find_checkpoint() without further tries. Sets `chosen` before it verifies a checkpoint other than the newest.
NamedCheckpoint find_in(const fs::path& named, const std::string& step, const Note& note, fs::path& chosen) {
  if (folder_kind(named) == FolderKind::checkpoint) {
    if (step != "newest") fail("{}: --step {}: found a checkpoint, expected a run", named.string(), step);
    verify_checkpoint(named);
    fs::path checkpoint = fs::absolute(named).lexically_normal();
    if (!checkpoint.has_filename()) checkpoint = checkpoint.parent_path();  // the path ended in "/" or "."
    return {checkpoint.parent_path().parent_path(), checkpoint};
  }
  const fs::path folder = named / "checkpoints";
  const std::vector<fs::path> there = list_checkpoints(folder);
  if (there.empty()) fail("{}: found no checkpoint", folder.string());
  if (step == "newest") {
    const fs::path newest = newest_checkpoint(folder, note).value_or("");
    if (newest.empty()) fail("{}: found no checkpoint", folder.string());
    if (const auto ruined = ruined_after(folder, step_of(newest)))
      note(fmt::format("using {}; skipping the later {}, because its weights or loss are far too large or not finite",
                       newest.filename().string(), ruined->filename().string()));
    return {named, newest};
  }
  if (step == "best") {
    chosen = best_checkpoint(named, there, note);
  } else {
    int64_t number = -1;
    const auto [end, error] = std::from_chars(step.data(), step.data() + step.size(), number);
    if (error != std::errc() || end != step.data() + step.size() || number < 0)
      fail("{}: step: found '{}', expected a step, best or newest; {}", named.string(), step, steps_text(there));
    chosen = checkpoint_path(folder, number);
    if (!fs::exists(chosen))
      fail("{}: step: found {}, expected the step of a checkpoint; {}", named.string(), step, steps_text(there));
  }
  verify_checkpoint(chosen);
  return {named, chosen};
}

}  // namespace

NamedCheckpoint find_checkpoint(const fs::path& named, const std::string& step, const Note& note) {
  return look_again([&](fs::path& chosen) { return find_in(named, step, note, chosen); });
}

OpenedCheckpoint open_checkpoint(const fs::path& named, const std::string& step, const Note& note,
                                 const std::string& weights) {
  return look_again([&](fs::path& place) {
    const NamedCheckpoint found = find_checkpoint(named, step, note);
    place = found.checkpoint;
    return OpenedCheckpoint{found.run, std::make_unique<Checkpoint>(found.checkpoint, weights)};
  });
}

RunFolder::RunFolder(const fs::path& named, const std::string& step, const Note& note, const std::string& weights)
    : weights_(weights) {
  const std::optional<FolderKind> kind = folder_kind(named);
  if (kind && kind != FolderKind::run && kind != FolderKind::checkpoint)
    fail("{}: found {}, expected a run or one of its checkpoints{}", named.string(), name_of(*kind),
         kind == FolderKind::exported
             ? "; to turn it into a run, use rowan train with init set to this folder and run.steps 0"
             : "");
  if (!fs::exists(named / "config.json") && kind != FolderKind::checkpoint)
    fail("{}: found no config.json, expected the folder of a run", named.string());
  OpenedCheckpoint opened = open_checkpoint(named, step, note, weights);
  checkpoint_ = std::move(opened.checkpoint);
  path_ = opened.run;
  const fs::path path = path_ / "config.json";
  source_ = std::make_shared<JsonSource>(JsonSource{path.string(), read_file(path)});
  config_ = parse_json(*source_);
  JsonObject object = config();
  model_ = parse_model(object.object("model", true));
  if (object.has("data")) data_ = parse_data(object.object("data"));
  tokenizer_ = object.string("tokenizer", "");
}

std::optional<DocumentOptions> RunFolder::documents(int32_t end_token) const {
  return document_options(data_, end_token);
}

}  // namespace rowan
