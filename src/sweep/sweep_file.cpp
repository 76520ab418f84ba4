#include "sweep/sweep_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/json_path.h"
#include "base/threads.h"
#include "report/targets.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

// Turns a label into part of a folder name.
std::string slug(std::string text) {
  for (char& c : text)
    if (!std::isalnum(static_cast<unsigned char>(c)) && !std::strchr(".+-=", c)) c = '-';
  return text;
}

// Rounds a grid value to the digits that the name of a run shows.
double rounded(double value) { return std::strtod(fmt::format("{:.6g}", value).c_str(), nullptr); }

std::string last_part(const std::string& path) { return path.substr(path.rfind('.') + 1); }

std::string beside(const std::string& sweep_file, const std::string& path) {
  return fs::path(path).is_absolute() ? path : (fs::path(sweep_file).parent_path() / path).lexically_normal().string();
}

void check_path(const JsonObject& object, const std::string& key, const std::string& path) {
  if (path == "run.dir" || path == "run")
    object.fail(key, "not allowed in a sweep, which chooses the folders of its runs");
  if (path == "run.seed") object.fail(key, "not allowed in a sweep; use the sweep's key \"seeds\"");
}

std::vector<Edit> settings_of(JsonObject object) {
  std::vector<Edit> settings;
  for (const std::string& path : object.keys()) {
    check_path(object, path, path);
    settings.push_back({path, object.raw(path), object.where(path)});
  }
  return settings;
}

// An axis named by a config path, with a list of values for that path.
Axis axis_of_path(JsonObject& axes, const std::string& path, const Json& list) {
  check_path(axes, path, path);
  Axis axis{path, {}};
  for (const Json& value : list) {
    if (value.is_structured())
      axes.fail(path, "found an object or a list without a label, expected {\"LABEL\": {\"PATH\": VALUE, ...}, ...}");
    std::string label = value.is_string() ? value.get<std::string>() : value.dump();
    if (label.ends_with(".json")) label = fs::path(label).stem().string();
    axis.values.push_back({label, "", {{path, value, axes.where(path)}}});
  }
  return axis;
}

Axis axis_of_labels(JsonObject object, const std::string& name, const std::string& file) {
  Axis axis{name, {}};
  for (const std::string& label : object.keys()) {
    JsonObject settings = object.object(label);
    AxisValue value{label, "", {}};
    for (const Edit& setting : settings_of(settings)) {
      if (setting.path == "config")
        value.config = beside(file, settings.string("config"));
      else
        value.settings.push_back(setting);
    }
    axis.values.push_back(value);
  }
  return axis;
}

std::string in_base(const std::string& axis) { return "{" + axis + "}"; }

// An axis with a list of labels. Each label replaces {AXIS} in the path of the base config.
Axis axis_of_names(JsonObject& axes, const std::string& name, const Json& list) {
  Axis axis{name, {}};
  for (const Json& value : list) {
    if (value.is_structured())
      axes.fail(name, "expected a list of names to replace " + in_base(name) + " in the path `base`");
    axis.values.push_back({value.is_string() ? value.get<std::string>() : value.dump(), "", {}});
  }
  return axis;
}

std::vector<Axis> parse_axes(JsonObject axes, const std::string& file, const std::string& base) {
  std::vector<Axis> result;
  for (const std::string& name : axes.keys()) {
    const Json& value = axes.raw(name);
    if (!value.is_structured()) axes.fail(name, "expected a list of values, or an object of labels and their settings");
    if (value.empty()) axes.fail(name, "found an axis without values");
    result.push_back(value.is_object()                               ? axis_of_labels(axes.object(name), name, file)
                     : base.find(in_base(name)) != std::string::npos ? axis_of_names(axes, name, value)
                                                                     : axis_of_path(axes, name, value));
  }
  return result;
}

Tuning parse_tuning(JsonObject tune) {
  Tuning tuning;
  tuning.paths = tune.strings("path");
  if (tuning.paths.empty()) tune.fail("path", "found an empty list, expected a path such as optimizer.lr");
  for (const std::string& path : tuning.paths) check_path(tune, "path", path);
  tuning.factors = tune.has("factors");
  if (tuning.factors && tune.has("values")) tune.fail("factors", "conflicts with values; give one of them");
  const char* key = tuning.factors ? "factors" : "values";
  for (double value : tune.numbers(key)) {
    if (!(value > 0)) tune.fail(key, fmt::format("found {}, expected values greater than 0", value));
    tuning.values.push_back(rounded(value));
  }
  if (tuning.values.empty()) tune.fail(key, "found an empty list, expected at least one value");
  std::sort(tuning.values.begin(), tuning.values.end());
  if (const auto twice = std::adjacent_find(tuning.values.begin(), tuning.values.end()); twice != tuning.values.end())
    tune.fail(key, fmt::format("found {} twice", *twice));
  tuning.extend = tune.number("extend", 0);
  if (tuning.extend != 0 && !(tuning.extend > 1 && tuning.extend <= 1000))
    tune.fail("extend",
              fmt::format("found {}, expected 0, or a factor greater than 1 and at most 1000", tuning.extend));
  tuning.farthest = tune.number("farthest", 64, 1);
  tune.finish();
  return tuning;
}

Resources parse_resources(JsonObject object) {
  Resources resources;
  resources.jobs = object.integer("jobs", 0, 0, 4096);
  resources.threads = object.integer("threads", 1, 1, most_threads);
  resources.ranks = object.integer("ranks", 1, 1, 4096);
  resources.launcher = object.string("launcher", resources.launcher);
  object.finish();
  return resources;
}

std::vector<int64_t> parse_seeds(JsonObject& root) {
  const Json& list = root.raw("seeds");
  if (!list.is_array()) root.fail("seeds", fmt::format("found {}, expected a list of whole numbers", list.dump()));
  std::vector<int64_t> seeds;
  for (const Json& seed : list) {
    if (!seed.is_number_integer() || seed < 0 || seed > INT64_MAX)
      root.fail("seeds", fmt::format("found {}, expected whole numbers from 0 to {}", seed.dump(), INT64_MAX));
    seeds.push_back(seed.get<int64_t>());
  }
  return seeds;
}

// A tuned value as the config's key takes it. Keys of integers do not take 5.0.
Json tuned_json(double value) {
  constexpr double most = int64_t{1} << 53;  // a double holds all integers up to this one
  return value == std::floor(value) && value < most ? Json(static_cast<int64_t>(value)) : Json(value);
}

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

void make_cells(SweepConfig& sweep, JsonObject& root, const std::string& base, const std::vector<Edit>& common) {
  double count = 1;
  for (const Axis& axis : sweep.axes) count *= static_cast<double>(axis.values.size());
  constexpr double most = 100000;
  if (count > most) root.fail("axes", fmt::format("found {} cells, expected at most {}", count, most));
  std::vector<Cell> cells = {{{}, base, common, 0}};
  for (const Axis& axis : sweep.axes) {
    std::vector<Cell> product;
    for (const Cell& cell : cells)
      for (const AxisValue& value : axis.values) {
        Cell& next = product.emplace_back(cell);
        next.labels.push_back(value.label);
        if (!value.config.empty() && cell.config != base)
          root.fail("axes", fmt::format("{} of {} names a config, but an axis before it does, too; remove one of them",
                                        value.label, axis.name));
        if (!value.config.empty()) next.config = value.config;
        const bool named = next.config.find(in_base(axis.name)) != std::string::npos;
        if (!named && value.config.empty() && base.find(in_base(axis.name)) != std::string::npos)
          root.fail("axes", fmt::format("{} has no effect on the config {}; expected {} in its path", axis.name,
                                        next.config, in_base(axis.name)));
        next.config = replaced(next.config, in_base(axis.name), value.label);
        next.settings.insert(next.settings.end(), value.settings.begin(), value.settings.end());
      }
    cells = product;
  }
  for (const Cell& cell : cells)
    if (cell.config.empty())
      root.fail("base", "is missing; expected a base config, or an axis whose values all name configs");
  // Paths with fewer parts are set first, so that a whole section is set before one of its keys, whatever the order of
  // the axes.
  const auto depth = [](const Edit& setting) { return std::count(setting.path.begin(), setting.path.end(), '.'); };
  for (Cell& cell : cells)
    std::stable_sort(cell.settings.begin(), cell.settings.end(),
                     [&](const Edit& a, const Edit& b) { return depth(a) < depth(b); });
  sweep.cells = cells;
}

// Runs `work`. If `work` throws an Error whose message does not begin with the name of the sweep file, puts this name
// and the cell's labels, if any, before the message. The mistake may be in the base, or in the combination of the base
// and an axis.
template <typename Work>
auto in_cell(const SweepConfig& sweep, const Cell& cell, Work work) {
  try {
    return work();
  } catch (const Error& error) {
    const std::string what = error.what();
    if (what.starts_with(sweep.file + ":")) throw;
    if (cell.labels.empty()) fail("{}: base: {}", sweep.file, what);
    fail("{}: the runs of ({}): {}", sweep.file, fmt::join(cell.labels, ", "), what);
  }
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

// Throws Error if `tune` or another axis overwrites a setting of this cell's labels: the label would name a value that
// no run uses. Factors of a setting are not an overwriting, unless the setting itself is the label.
void check_labels(const SweepConfig& sweep, const Cell& cell) {
  for (size_t i = 0; i < sweep.axes.size(); ++i) {
    const Axis& axis = sweep.axes[i];
    const auto value = std::find_if(axis.values.begin(), axis.values.end(),
                                    [&](const AxisValue& known) { return known.label == cell.labels[i]; });
    for (const Edit& setting : value->settings) {
      if (sweep.tuning && std::count(sweep.tuning->paths.begin(), sweep.tuning->paths.end(), setting.path) > 0 &&
          (!sweep.tuning->factors || setting.path == axis.name))
        fail("{}: found {}, which tune.path sets, too; remove one of them", setting.origin, setting.path);
      const auto last = std::find_if(cell.settings.rbegin(), cell.settings.rend(),
                                     [&](const Edit& edit) { return edit.path == setting.path; });
      if (last->value != setting.value)
        fail("{}: found {}, but {} sets {} to {}; remove one of them", setting.origin, setting.value.dump(),
             last->origin, setting.path, last->value.dump());
    }
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
  check_labels(sweep, sweep.cells[i]);
  const SweepRun plain = make_run(sweep, i, {}, {});
  const TrainConfig config = config_of(sweep, plain);
  if (sweep.tuning) check_grid(sweep, i, config);
  // Cells whose own values differ may have the same name but no common run until a grid has grown. So the names of the
  // cells are compared, not those of their first runs.
  const std::string shown = fmt::format("{}", fmt::join(sweep.cells[i].labels, ", "));
  if (const auto [at, fresh] = taken.emplace(plain.name, shown); !fresh)
    fail("{}: axes: found two runs with the folder {}{}: ({}) and ({})", sweep.file, (sweep.dir / plain.name).string(),
         sweep.tuning || sweep.seeds.size() > 1 ? "_..." : "", at->second, shown);
  if (config.run.patience)
    fail("run.patience: found {}, expected 0: a sweep compares losses at the last step", config.run.patience);
  check_metric(sweep.metric, config.data, sweep.file + ": metric");
  if (needs_data) check_files(config);
}

void check_cells(SweepConfig& sweep, bool needs_data) {
  std::map<std::string, std::string> taken;  // maps the name of a cell's runs to the labels of the cell
  for (size_t i = 0; i < sweep.cells.size(); ++i)
    in_cell(sweep, sweep.cells[i], [&] { check_cell(sweep, i, needs_data, taken); });
}

}  // namespace

std::string replaced(std::string text, std::string_view mark, std::string_view by) {
  for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + by.size()))
    text.replace(at, mark.size(), by);
  return text;
}

void choose_cells(SweepConfig& sweep, const std::vector<std::string>& labels) {
  std::vector<std::string> known;
  for (const Cell& cell : sweep.cells)
    for (const std::string& label : cell.labels)
      if (std::find(known.begin(), known.end(), label) == known.end()) known.push_back(label);
  for (const std::string& label : labels) {
    if (std::find(known.begin(), known.end(), label) != known.end()) continue;
    const std::string nearest = did_you_mean(label, known);
    constexpr size_t most = 20;
    if (known.size() > most) known.resize(most), known.push_back("...");
    fail("--only: found '{}', which no run has as a label; the labels are {}{}", label, join(known), nearest);
  }
  for (Cell& cell : sweep.cells)
    cell.chosen =
        std::find_first_of(cell.labels.begin(), cell.labels.end(), labels.begin(), labels.end()) != cell.labels.end();
}

size_t first_chosen(const SweepConfig& sweep) {
  const auto first = std::find_if(sweep.cells.begin(), sweep.cells.end(), [](const Cell& cell) { return cell.chosen; });
  return static_cast<size_t>(first - sweep.cells.begin());
}

SweepRun make_run(const SweepConfig& sweep, size_t cell, std::optional<double> tuned, std::optional<int64_t> seed) {
  SweepRun run{cell, {}, seed, ""};
  std::vector<std::string> parts;
  for (size_t axis = 0; axis < sweep.axes.size(); ++axis) {
    // A label that is a number does not say what it means, so the name of the axis precedes the label.
    const std::string& label = sweep.cells[cell].labels[axis];
    const bool bare = label.find_first_not_of("0123456789.eE+-") == std::string::npos;
    parts.push_back(slug((bare ? last_part(sweep.axes[axis].name) : "") + label));
  }
  if (tuned) {
    run.tuned = rounded(*tuned);
    parts.push_back(fmt::format("{}{:.6g}", last_part(sweep.tuning->paths[0]), *run.tuned));
  }
  if (seed && sweep.seeds.size() > 1) parts.push_back(fmt::format("seed{}", *seed));
  run.name = parts.empty() ? "run" : fmt::format("{}", fmt::join(parts, "_"));
  return run;
}

TrainConfig config_of(const SweepConfig& sweep, const SweepRun& run) {
  const Cell& cell = sweep.cells[run.cell];
  std::vector<Edit> edits = cell.settings;
  if (run.tuned)
    for (const std::string& path : sweep.tuning->paths) edits.push_back({path, tuned_json(*run.tuned), sweep.tune_at});
  if (run.seed) edits.push_back({"run.seed", *run.seed, sweep.seeds_at});
  edits.push_back({"run.dir", (sweep.dir / run.name).string(), sweep.dir_at});
  return in_cell(sweep, cell, [&] { return load_config(cell.config, edits); });
}

SweepConfig load_sweep(const std::string& path, const std::vector<Edit>& edits, bool needs_data) {
  auto source = std::make_shared<JsonSource>(JsonSource{path, read_file(path)});
  Json json = parse_json(*source);
  for (const Edit& edit : edits) {
    const std::string common = "set.";  // set.PATH=VALUE changes the configs of all runs; PATH may contain more dots
    if (edit.path.starts_with(common))
      json["set"][edit.path.substr(common.size())] = edit.value;
    else
      apply_edit(json, edit);
    source->edited.push_back({edit.path, edit.origin});
  }
  JsonObject root(source, json);
  if (json.contains("model") && !json.contains("axes") && !json.contains("base"))
    root.fail("model", "this is the config of a run; rowan train reads it, and a sweep names it as \"base\"");
  SweepConfig sweep;
  sweep.file = path;
  sweep.dir = root.string("dir"), sweep.dir_at = root.where("dir");
  if (sweep.dir.empty()) root.fail("dir", "is empty");
  const std::string base = root.has("base") ? beside(path, root.string("base")) : "";
  const std::vector<Edit> common = settings_of(root.object("set"));
  sweep.axes = parse_axes(root.object("axes"), path, base);
  if (root.has("tune")) sweep.tuning = parse_tuning(root.object("tune"));
  if (sweep.tuning) sweep.tune_at = root.object("tune").where(sweep.tuning->factors ? "factors" : "values");
  if (root.has("seeds")) sweep.seeds = parse_seeds(root), sweep.seeds_at = root.where("seeds");
  if (root.has("seeds") && sweep.seeds.empty()) root.fail("seeds", "found an empty list");
  for (size_t i = 1; i < sweep.seeds.size(); ++i)
    if (std::count(sweep.seeds.begin(), sweep.seeds.end(), sweep.seeds[i]) > 1)
      root.fail("seeds", fmt::format("found {} twice", sweep.seeds[i]));
  sweep.metric = root.string("metric", "val_loss");
  if (root.has("targets")) sweep.targets = load_targets(beside(path, root.string("targets")));
  sweep.against = root.string("against", "");
  if (root.has("loss")) sweep.loss = root.number("loss", {}, 0);
  sweep.resources = parse_resources(root.object("resources"));
  sweep.retries = root.integer("retries", 1, 0, 100);
  sweep.keep_checkpoints = root.choice("checkpoints", {"keep", "remove"}, "keep") == "keep";
  if (root.has("comment")) root.raw("comment");
  make_cells(sweep, root, base, common);
  root.finish();
  bool known = sweep.against.empty();
  for (const Axis& axis : sweep.axes)
    for (const AxisValue& value : axis.values) known = known || value.label == sweep.against;
  if (!known) root.fail("against", fmt::format("found '{}', expected a label of an axis", sweep.against));
  check_cells(sweep, needs_data);
  return sweep;
}

}  // namespace rowan
