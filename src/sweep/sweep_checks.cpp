#include "sweep/sweep_checks.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/json_path.h"
#include "report/targets.h"
#include "sweep/sweep_folder.h"
#include "sweep/sweep_run.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

double own_value(const TrainConfig& config, const std::string& path) {
  const Json* place = value_at(config.resolved, path);
  const bool is_number = place && place->is_number();
  if (!is_number && path != "optimizer.lr")
    fail("tune.factors: found no number at {} in the config; set it there, or use tune.values", path);
  const double value = is_number ? place->get<double>() : config.optimizer.rates().main;  // the main recipe's rate
  if (!(value > 0))
    fail("tune.factors: found {} {} in the config, expected a value greater than 0; set it there, or use tune.values",
         path, value);
  return value;
}

// Throws Error if a config refuses a value of the first grid, or if two values are the same when rounded. Sets
// Cell::own if tune.factors is given.
void check_grid(SweepConfig& sweep, size_t i, const TrainConfig& config) {
  const Tuning& tuning = *sweep.tuning;
  if (tuning.factors) sweep.cells[i].own = own_value(config, tuning.paths[0]);
  std::optional<double> before;
  for (double value : tuning.values) {
    const SweepRun run = make_run(sweep, i, tuning.factors ? value * sweep.cells[i].own : value, {});
    config_of(sweep, run);
    if (run.tuned == before)
      fail("tune.factors: found {} {} twice, rounded to 6 digits; expected factors that differ more", tuning.paths[0],
           *run.tuned);
    before = run.tuned;
  }
}

// The value that a setting gives to `path`, which is the setting's own path or lies below it; else nullptr.
const Json* value_for(const Edit& setting, const std::string& path) {
  if (path == setting.path) return &setting.value;
  return path.starts_with(setting.path + ".") ? value_at(setting.value, path.substr(setting.path.size() + 1)) : nullptr;
}

// Throws Error if `tune` or a later setting overwrites a setting of this cell, or a part of it: the sweep file would
// name a value that no run uses. Factors of a setting are not an overwriting, unless the setting itself is the label.
void check_settings(const SweepConfig& sweep, const Cell& cell) {
  const auto is_label = [&](const std::string& path) {
    return std::any_of(sweep.axes.begin(), sweep.axes.end(), [&](const Axis& axis) { return axis.name == path; });
  };
  for (auto setting = cell.settings.begin(); setting != cell.settings.end(); ++setting) {
    if (sweep.tuning)
      for (const std::string& path : sweep.tuning->paths)
        if (value_for(*setting, path) && (!sweep.tuning->factors || (setting->path == path && is_label(path))))
          fail("{}: found {}, which tune.path sets, too; remove one of them", setting->origin, path);
    for (auto later = setting + 1; later != cell.settings.end(); ++later)
      if (const Json* value = value_for(*setting, later->path); value && *value != later->value)
        fail("{}: found {}, but {} sets {} to {}; remove one of them", setting->origin, value->dump(), later->origin,
             later->path, later->value.dump());
  }
}

// Throws Error if a file that the config names is missing. Its content is checked by each run.
void check_files(const TrainConfig& config) {
  for (const Corpus& corpus : config.data.train)
    for (const std::string& files : corpus.files) expand_glob(files);
  for (const std::string& files : config.data.validation) expand_glob(files);
  const size_t colon = config.tokenizer.find(':');  // `bytes` has no file
  std::string init = config.init;                   // RUN@best and RUN@400 name a checkpoint of a run
  std::error_code unreadable;
  if (!fs::exists(init, unreadable)) init = init.substr(0, init.rfind('@'));
  for (const std::string& file :
       {colon == std::string::npos ? "" : config.tokenizer.substr(colon + 1), config.data.hellaswag, init})
    if (!file.empty()) expand_glob(file);
}

// Throws Error for mistakes that can be found before a run starts.
void check_cell(SweepConfig& sweep, size_t i, bool needs_data, std::map<std::string, std::string>& taken) {
  check_settings(sweep, sweep.cells[i]);
  const SweepRun plain = make_run(sweep, i, {}, {});
  const TrainConfig config = config_of(sweep, plain);
  if (sweep.tuning) check_grid(sweep, i, config);
  // Cells whose own values differ may have the same name but no common run until a grid has grown. So the names of the
  // cells are compared, not those of their first runs.
  const std::string shown = fmt::format("{}", fmt::join(sweep.cells[i].labels, ", "));
  if (const auto [at, fresh] = taken.emplace(plain.name, shown); !fresh)
    fail("{}: axes: found two runs with the folder {}{}: ({}) and ({})", sweep.file, (sweep.dir / plain.name).string(),
         sweep.tuning || sweep.seeds.size() > 1 ? "_..." : "", at->second, shown);
  const std::string longest =
      make_run(sweep, i, sweep.tuning ? std::optional(sweep.tuning->values.back()) : std::nullopt,
               sweep.seeds.empty() ? std::nullopt : std::optional(sweep.seeds.back()))
          .name;
  constexpr size_t most = 255 - std::string_view(".json.part").size();  // file systems allow names of 255 bytes
  if (longest.size() > most)
    fail("{}: axes: found labels that make a folder name of {} bytes, expected at most {}; choose shorter labels",
         sweep.file, longest.size(), most);
  const bool alone = !sweep.tuning && sweep.seeds.size() < 2;  // else a value or a seed is added to the name
  if (alone && is_taken_by_sweep(plain.name))
    fail("{}: axes: found a run with the folder {}, which the sweep uses itself; choose a label other than '{}'",
         sweep.file, (sweep.dir / plain.name).string(), shown);
  if (config.run.patience)
    fail("run.patience: found {}, expected 0: a sweep compares losses at the last step", config.run.patience);
  check_metric(sweep.metric, config.data, sweep.file + ": metric");
  if (needs_data) check_files(config);
}

}  // namespace

void check_cells(SweepConfig& sweep, bool needs_data) {
  std::map<std::string, std::string> taken;  // maps the name of a cell's runs to the labels of the cell
  for (size_t i = 0; i < sweep.cells.size(); ++i)
    in_cell(sweep, sweep.cells[i], [&] { check_cell(sweep, i, needs_data, taken); });
}

}  // namespace rowan
