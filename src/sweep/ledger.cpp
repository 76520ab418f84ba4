#include "sweep/ledger.h"

#include <limits>

#include "base/error.h"
#include "base/files.h"
#include "base/json_path.h"
#include "report/results.h"
#include "sweep/sweep_folder.h"
#include "train/divergence.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

void check_same_config(const fs::path& file, const Json& before, Json now) {
  if (now["precision"] == "auto") now["precision"] = before["precision"];  // a run stores the resolved precision
  for (const Json& change : Json::diff(identity_of(before), identity_of(now)))
    fail("{}: found another config (first difference at {}); choose another dir for the changed sweep", file.string(),
         dotted_path(change.at("path").get<std::string>()));
}

// The message of a diverged run, if a run's log ends with it; else "". A run that has started again has written more.
std::string divergence_in(const fs::path& log) {
  constexpr std::string_view begins = "rowan: ";
  std::error_code unreadable;
  if (!fs::is_regular_file(log, unreadable)) return "";
  std::string text = read_file(log);
  if (!text.ends_with('\n')) return "";
  text.pop_back();
  const std::string line = text.substr(text.rfind('\n') + 1);
  return line.starts_with(begins) && says_diverged(line) ? line.substr(begins.size()) : "";
}

}  // namespace

RunOutcome Ledger::outcome(const SweepRun& run, bool exited) {
  const auto [at, fresh] = known_.try_emplace(run.name);
  if (fresh) at->second = read(run, exited);
  return at->second;
}

RunOutcome Ledger::read(const SweepRun& run, bool exited) const {
  const fs::path folder = sweep_.dir / run.name, diverged = mark(run.name);
  if (fs::exists(diverged)) {
    auto source = std::make_shared<JsonSource>(JsonSource{diverged.string(), read_file(diverged)});
    const Json stored = parse_json(*source);
    const Json config = JsonObject(source, stored).raw("config");
    const Json before = parse_config({diverged.string(), config.dump()}, {}).resolved;
    check_same_config(diverged, before, config_of(sweep_, run).resolved);
    return {RunOutcome::State::done, std::numeric_limits<double>::infinity()};
  }
  if (!fs::exists(folder / "config.json") || !fs::exists(folder / "metrics.jsonl")) return {};
  RunOutcome outcome;
  // A run writes loss.svg last, so without this file a run counts as unfinished, unless it has just exited.
  if (exited || fs::exists(folder / "loss.svg"))
    if (const std::optional<double> loss = read_run(folder).final_loss(sweep_.metric))
      outcome = {RunOutcome::State::done, *loss};
  if (outcome.state != RunOutcome::State::done)
    if (const std::string message = divergence_in(folder / "log.txt"); !message.empty())
      outcome = {RunOutcome::State::done, std::numeric_limits<double>::infinity(), message};
  if (outcome.state != RunOutcome::State::done) return {};
  // A config of an older version may lack keys. load_config() adds these keys with this version's defaults.
  const Json before = load_config((folder / "config.json").string(), {}).resolved;
  check_same_config(folder / "config.json", before, config_of(sweep_, run).resolved);
  return outcome;
}

void Ledger::diverged(const SweepRun& run, const std::string& message) {
  write_file_atomically(mark(run.name),
                        Json{{"message", message}, {"config", config_of(sweep_, run).resolved}}.dump(1) + "\n");
  forget(run.name);
}

void Ledger::prepare() const {
  for (const std::string_view part : sweep_folders) make_directories(sweep_.dir / part);
}

void Ledger::write_config(const SweepRun& run) const {
  write_file_atomically(config(run.name), config_of(sweep_, run).resolved.dump(2) + "\n");
}

void Ledger::write_index() {
  Json runs = Json::array(), axes = Json::array();
  for (const Axis& axis : sweep_.axes) axes.push_back(axis.name);
  for (const SweepRun& run : known_runs(
           sweep_, [this](const SweepRun& r) { return outcome(r); }, Cells::all)) {
    const Cell& cell = sweep_.cells[run.cell];
    Json item = {{"name", run.name}, {"labels", cell.labels}, {"config", cell.config}};
    if (run.tuned) item["tuned"] = *run.tuned;
    if (run.seed) item["seed"] = *run.seed;
    if (const std::string message = outcome(run).message; !message.empty()) diverged(run, message);
    if (fs::exists(mark(run.name))) item["diverged"] = true;
    runs.push_back(item);
  }
  std::string tuned = sweep_.tuning ? sweep_.tuning->paths[0] : "";
  Json index = {{"file", sweep_.file},
                {"axes", axes},
                {"tuned", tuned.substr(tuned.rfind('.') + 1)},
                {"metric", sweep_.metric},
                {"against", sweep_.against}};
  if (sweep_.loss) index["loss"] = *sweep_.loss;
  index["targets"] = sweep_.targets.is_null() ? Json::array() : sweep_.targets;
  index["runs"] = runs;
  write_file_atomically(sweep_.dir / "sweep.json", index.dump(1) + "\n");
}

}  // namespace rowan
