#include "train/start.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <set>

#include "base/error.h"
#include "base/file_kind.h"
#include "base/files.h"
#include "base/json_path.h"
#include "base/version.h"
#include "comm/launch.h"
#include "run/checkpoint.h"
#include "run/starts.h"
#include "train/continuation.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

// A text such as "first difference at optimizer.lr: 0.01 there, 0.02 here"; "" if nothing differs.
std::string first_difference(const Json& before, const Json& after) {
  const Json changes = changes_of(before, after);
  if (changes.empty()) return "";
  const auto& [path, values] = *changes.items().begin();
  auto text = [](const Json& value) { return value.is_null() ? std::string("nothing") : value.dump(); };
  return fmt::format("first difference at {}: {} there, {} here", dotted_path(path), text(values["from"]),
                     text(values["to"]));
}

// The config of the run in this folder: that of config.json or, if this file is gone or damaged, of the newest start.
// The text is "" if there is neither.
JsonSource config_in(const fs::path& dir) {
  const fs::path file = dir / "config.json";
  JsonSource config{file.string(), fs::exists(file) ? read_file(file) : ""};
  if (!value_at(try_parse_json(config.text), "model"))
    if (const auto last = last_config(read_starts(dir, [](const std::string&) {})))
      config = {(dir / "starts.jsonl").string(), last->dump()};
  return config;
}

bool has_content(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error) && !fs::is_empty(path, error);
}

bool share_file_system(const fs::path& a, const fs::path& b) {
  struct stat of_a, of_b;
  return ::stat(a.c_str(), &of_a) == 0 && ::stat(b.c_str(), &of_b) == 0 && of_a.st_dev == of_b.st_dev;
}

std::vector<std::string> command_line() {
  std::vector<std::string> words;
  const std::string all = read_file("/proc/self/cmdline");
  for (size_t begin = 0, end; (end = all.find('\0', begin)) != std::string::npos; begin = end + 1)
    words.push_back(all.substr(begin, end - begin));
  return words;
}

std::string utc_time() {
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts = {};
  char text[32] = "";
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", ::gmtime_r(&now, &parts));
  return text;
}

}  // namespace

RunStart::RunStart(const TrainConfig& config, const StartOptions& options, const Note& note)
    : config_(config), options_(options), note_(note), dir_(config.run.dir), resolved_(config.resolved) {
  if (options_.from && *options_.from > config_.run.steps)
    fail("{}: --from: found {}, expected at most run.steps, which is {}", dir_.string(), *options_.from,
         config_.run.steps);
  const bool exists = fs::is_directory(dir_);
  check_folder(dir_, FolderKind::run);
  check_outside_runs(dir_, "run.dir");
  if (exists) {
    lock();
    const bool same_config = look();
    if (!before_) check_holds_no_runs(dir_, "run.dir");
    if (options_.from && checkpoint_) go_back(same_config);
    if (!way_on().empty()) look_for_work();
  }
  if (options_.resume && !checkpoint_) fail("{}: --resume: found no checkpoint", (dir_ / "checkpoints").string());
  if (options_.from && !checkpoint_)
    fail("{}: --from {}: found no checkpoint", (dir_ / "checkpoints").string(), *options_.from);
}

void RunStart::lock() { lock_ = std::make_unique<FolderLock>(dir_, "trains this run", note_); }

bool RunStart::look() {
  const fs::path checkpoints = dir_ / "checkpoints", config = dir_ / "config.json";
  // A link to a disk that is not mounted must not look like a run without checkpoints.
  std::error_code unreadable;
  if (const bool link = fs::is_symlink(checkpoints, unreadable);
      (link || fs::exists(checkpoints, unreadable)) && !fs::is_directory(checkpoints, unreadable))
    fail("{}: found {}, expected a folder", checkpoints.string(),
         link ? "a link to " + fs::read_symlink(checkpoints).string() + ", which is not there" : "a file");
  remove_unfinished_checkpoints(checkpoints, note_);
  checkpoint_ = newest_checkpoint(checkpoints, note_);
  const bool rows = has_content(dir_ / "metrics.jsonl"),
             ours = checkpoint_ || rows || has_content(dir_ / "starts.jsonl");
  const JsonSource earlier = config_in(dir_);
  if (!fs::exists(config)) {
    for (const char* name : {"metrics.jsonl", "tensorboard", "log.txt"})
      if (!checkpoint_ && has_content(dir_ / name))
        fail("{}: found {} without config.json, so it is not a run's folder; choose another run.dir", dir_.string(),
             name);
    if (!checkpoint_) return false;
    if (earlier.text.empty()) {
      note_(fmt::format("warning: {}: was removed; nothing tells whether this config is that of the run",
                        config.string()));
      return false;
    }
  } else if (!ours) {
    if (earlier.text != config_.resolved.dump(2) + "\n")
      fail("{}: found config.json without a run; choose another run.dir", dir_.string());
    return true;
  }
  std::string difference;
  try {
    TrainConfig before = parse_config(earlier, {});
    resolve_precision(before, false);  // a file without "precision" is from an older version, which used fp32
    before_ = before.resolved;
    Json was = identity_of(*before_), is = identity_of(config_.resolved);
    difference = first_difference(was, is);
    for (Json* json : {&was, &is}) (*json)["data"].erase("validation");
    difference_ = first_difference(was, is);
  } catch (const Error& error) {  // this version does not accept it
    before_ = try_parse_json(earlier.text);
    if (!before_->is_object() || !before_->contains("model")) fail("{}; expected the config of this run", error.what());
    difference = difference_ = first_difference(*before_, config_.resolved);
  }
  if (const std::string fixed = fixed_difference(*before_, config_.resolved); checkpoint_ && !fixed.empty())
    fail("{}: holds a run with another config ({}), and this has to stay when a run continues; choose another run.dir",
         dir_.string(), fixed);
  const std::string way = way_on();
  if (!difference.empty() && checkpoint_ && !options_.resume && !options_.from) {
    const bool evaluates = !way.empty() && difference_.empty() && evaluates_otherwise(*before_, config_.resolved);
    fail(
        "{}: holds a run with another config ({}); choose another run.dir, --resume{} the run with the new config{}, "
        "or --from STEP to go back",
        dir_.string(), difference,
        evaluates     ? " to evaluate"
        : way.empty() ? " to continue"
                      : " and " + way + " to continue",
        evaluates ? ", since it is done" : condition_of(changes_of(*before_, config_.resolved)));
  }
  if (!difference.empty() && !checkpoint_ && rows)
    fail("{}: found the rows of a run with another config ({}) and no checkpoint; choose another run.dir",
         (dir_ / "metrics.jsonl").string(), difference);
  if (!options_.from && checkpoint_ && step_of(*checkpoint_) > config_.run.steps)
    fail("{}: the run is at step {} and run.steps is {}; choose more steps, or --from STEP to go back", dir_.string(),
         step_of(*checkpoint_), config_.run.steps);
  if (checkpoint_) keep_init();
  return difference.empty();
}

void RunStart::keep_init() {
  const Json* init = value_at(*before_, "init");
  const Json was = init ? *init : Json("");
  if (was == resolved_["init"]) return;
  note_(
      fmt::format("init: found {}, which is not read: the run continues from a checkpoint", resolved_["init"].dump()));
  resolved_["init"] = was;
}

void RunStart::go_back(bool same_config) {
  const fs::path checkpoints = dir_ / "checkpoints";
  const std::vector<Json> starts = read_starts(dir_, [](const std::string&) {});  // begin() notes what is left out
  // If the same command is repeated after an interruption, the run continues from its newest checkpoint.
  if (same_config && !starts.empty() && starts.back().value("from", Json()) == Json(*options_.from) &&
      step_of(*checkpoint_) >= *options_.from) {
    if (step_of(*checkpoint_) > *options_.from)
      note_(fmt::format("--from {}: the last start of this run did so; it goes on from step {}", *options_.from,
                        step_of(*checkpoint_)));
    return;
  }
  back_to_ = options_.from;
  checkpoint_ = checkpoint_path(checkpoints, *options_.from);
  std::string there;
  for (const fs::path& path : list_checkpoints(checkpoints)) there += fmt::format(" {}", step_of(path));
  if (!fs::exists(*checkpoint_))
    fail("{}: --from: found {}, expected one of the steps{}", checkpoints.string(), *options_.from, there);
  verify_checkpoint(*checkpoint_);
}

std::string RunStart::way_on() const {
  if (!checkpoint_ || !before_) return "";
  const int64_t step = step_of(*checkpoint_);
  auto was = [&](const char* key) {
    const Json* value = value_at(*before_, key);
    return value && value->is_number_integer() ? value->get<int64_t>() : 0;
  };
  if (step == config_.run.steps && step == was("run.steps")) return "more run.steps";
  // A start with a larger patience, or with none, goes on.
  const int64_t patience = config_.run.patience;
  if (patience > 0 && patience <= was("run.patience") && has_content(dir_ / "metrics.jsonl") &&
      ended_step(read_metrics(dir_ / "metrics.jsonl", [](const std::string&) {})) == step)
    return "a larger run.patience";
  return "";
}

void RunStart::look_for_work() {
  if (!difference_.empty())
    fail(
        "{}: the run is done, so no step would be taken with the new config ({}); choose {}, or --from STEP to go back",
        dir_.string(), difference_, way_on());
  evaluates_again_ = evaluates_otherwise(*before_, config_.resolved);
  idle_ = !evaluates_again_ && !back_to_;
}

std::string RunStart::rotation_change() const {
  if (before_)
    for (const char* key : {"run.keep", "run.keep_every", "run.keep_best"}) {
      const Json *was = value_at(*before_, key), *is = value_at(config_.resolved, key);
      if (was && is && *was != *is) return fmt::format("{} was {} and is now {}", key, was->dump(), is->dump());
    }
  return "";
}

void RunStart::set_aside() {
  std::vector<fs::path> moved, copied;
  if (back_to_) {
    for (const fs::path& path : list_checkpoints(dir_ / "checkpoints"))
      if (step_of(path) > *back_to_) moved.push_back(path);
    if (const auto ruined = ruined_after(dir_ / "checkpoints", *back_to_)) moved.push_back(*ruined);
    if (has_content(dir_ / "metrics.jsonl")) copied.push_back(dir_ / "metrics.jsonl");
  } else if (!checkpoint_ && has_content(dir_ / "metrics.jsonl")) {
    moved = {dir_ / "metrics.jsonl"};
    if (has_content(dir_ / "tensorboard")) moved.push_back(dir_ / "tensorboard");
  } else if (has_content(dir_ / "metrics.jsonl")) {
    bool broken = false;
    read_metrics(dir_ / "metrics.jsonl", [&](const std::string&) { broken = true; });
    if (broken) copied = {dir_ / "metrics.jsonl"};
  }
  if (moved.empty() && copied.empty()) return;
  // If checkpoints/ leads to another file system, a checkpoint can be renamed only within it.
  const fs::path checkpoints = dir_ / "checkpoints",
                 place = back_to_ && !share_file_system(dir_, checkpoints) ? checkpoints : dir_;
  int number = 1;
  auto earlier = [&](const fs::path& folder) { return folder / fmt::format("earlier-{}", number); };
  while (fs::exists(earlier(dir_)) || fs::exists(earlier(place))) ++number;
  std::set<std::string> places;
  auto put = [&](const fs::path& folder, const fs::path& path) {
    make_directories(folder);
    places.insert(folder.string());
    return folder / path.filename();
  };
  for (const fs::path& path : copied) write_file_atomically(put(earlier(dir_), path), read_file(path));
  for (const fs::path& path : moved) rename_durably(path, put(earlier(place), path));
  note_(fmt::format("{}; the earlier files are now in {}",
                    back_to_      ? fmt::format("goes back to step {}", *back_to_)
                    : checkpoint_ ? "leaves invalid rows out of metrics.jsonl"
                                  : "found no checkpoint: starting from step 0",
                    fmt::join(places, " and ")));
}

void RunStart::begin(Json facts, bool other_text) {
  if (!lock_) {
    make_directories(dir_);
    lock();
    if (fs::exists(dir_ / "config.json")) fail("{}: another process has just begun a run there", dir_.string());
  }
  make_directories(dir_ / "checkpoints");
  if (idle_) return set_aside();
  std::vector<Json> starts = read_starts(dir_, note_);
  set_aside();  // after what may fail
  if (checkpoint_ && before_ && measures_otherwise(*before_, config_.resolved, other_text))
    mark_other_evaluation(dir_ / "metrics.jsonl", step_of(*checkpoint_));
  if (const std::string change = rotation_change(); checkpoint_ && config_.run.keep && !change.empty())
    note_(fmt::format("{}: the next save removes the checkpoints that this config does not keep", change));
  Json record = {{"version", version()},  {"time", utc_time()},        {"host", machine_name()},
                 {"process", ::getpid()}, {"command", command_line()}, {"file", config_.file}};
  record.update(facts);
  record["step"] = checkpoint_ ? Json(step_of(*checkpoint_)) : Json(0);
  if (options_.from) record["from"] = *options_.from;
  record["config"] = resolved_;
  if (before_ && !starts.empty()) record["changes"] = changes_of(*before_, resolved_);
  starts.push_back(std::move(record));
  std::string text;
  for (const Json& start : starts)
    text += start.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";  // a command may contain invalid UTF-8
  write_file_atomically(dir_ / "starts.jsonl", text);
  write_config();
}

void RunStart::write_config() const { write_file_atomically(dir_ / "config.json", resolved_.dump(2) + "\n"); }

void RunStart::guard() const {
  lock_->check();
  std::error_code unreadable;
  if (fs::exists(dir_ / "config.json", unreadable) || unreadable) return;
  write_config();
  note_(fmt::format("warning: {}: was removed; written again", (dir_ / "config.json").string()));
}

}  // namespace rowan
