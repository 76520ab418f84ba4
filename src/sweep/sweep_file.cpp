#include "sweep/sweep_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "base/threads.h"
#include "report/targets.h"
#include "sweep/sweep_checks.h"
#include "sweep/sweep_run.h"
#include "tokenizer/utf8.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

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
  for (auto item = list.begin(); item != list.end(); ++item) {
    const Json& value = *item;
    if (std::find(list.begin(), item, value) != item) axes.fail(path, fmt::format("found {} twice", value.dump()));
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
    for (const AxisValue& labelled : result.back().values)
      if (labelled.label.find(',') != std::string::npos)
        axes.fail(name, fmt::format("found the label '{}', expected no comma, which separates the labels of --only",
                                    labelled.label));
  }
  return result;
}

Tuning parse_tuning(JsonObject tune) {
  Tuning tuning;
  tuning.paths = tune.strings("path");
  if (tuning.paths.empty()) tune.fail("path", "found an empty list, expected a path such as optimizer.lr");
  for (auto path = tuning.paths.begin(); path != tuning.paths.end(); ++path) {
    check_path(tune, "path", *path);
    if (std::find(tuning.paths.begin(), path, *path) != path) tune.fail("path", fmt::format("found {} twice", *path));
  }
  tuning.factors = tune.has("factors");
  if (tuning.factors && tune.has("values")) tune.fail("factors", "conflicts with values; give one of them");
  const char* key = tuning.factors ? "factors" : "values";
  for (double value : tune.numbers(key)) {
    if (!(value > 0)) tune.fail(key, fmt::format("found {}, expected values greater than 0", value));
    tuning.values.push_back(rounded_value(value));
  }
  if (tuning.values.empty()) tune.fail(key, "found an empty list, expected at least one value");
  std::sort(tuning.values.begin(), tuning.values.end());
  if (const auto twice = std::adjacent_find(tuning.values.begin(), tuning.values.end()); twice != tuning.values.end())
    tune.fail(key, fmt::format("found {} twice", *twice));
  tuning.extend = tune.number("extend", 0);
  if (tuning.extend != 0 && !(tuning.extend > 1 && tuning.extend <= 1000))
    tune.fail("extend",
              fmt::format("found {}, expected 0, or a factor greater than 1 and at most 1000", tuning.extend));
  if (tune.has("farthest") && tuning.extend == 0)
    tune.fail("farthest", "found it without extend, expected both: it limits the values that extend adds");
  tuning.farthest = tune.number("farthest", 64, 1);
  tune.finish();
  return tuning;
}

// Throws Error if the launcher would not learn the number of ranks, or has another {NAME} than {ranks}.
void check_launcher(const JsonObject& resources, const std::string& launcher) {
  const std::string ranks = "{ranks}";
  bool found = false;
  for (size_t begin = launcher.find('{'), end; begin != std::string::npos; begin = launcher.find('{', end)) {
    end = std::min(launcher.find('}', begin), launcher.size() - 1) + 1;
    const std::string mark = launcher.substr(begin, end - begin);
    if (mark != ranks) resources.fail("launcher", fmt::format("found {}, expected {}", mark, ranks));
    found = true;
  }
  if (!found)
    resources.fail("launcher", fmt::format("found no {}, expected it where the number of ranks belongs", ranks));
}

Resources parse_resources(JsonObject object) {
  Resources resources;
  resources.jobs = object.integer("jobs", 0, 0, 4096);
  resources.threads = object.integer("threads", 1, 1, most_threads);
  resources.ranks = object.integer("ranks", 1, 1, 4096);
  resources.launcher = object.string("launcher", resources.launcher);
  if (object.has("launcher") && !object.has("ranks"))
    object.fail("launcher", "has no effect without ranks: only runs of several ranks are launched by it");
  if (resources.ranks > 1) check_launcher(object, resources.launcher);
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

// Throws Error unless `against` is a label of one axis.
void check_against(const SweepConfig& sweep, const JsonObject& root) {
  std::vector<std::string> axes;
  for (const Axis& axis : sweep.axes)
    if (std::any_of(axis.values.begin(), axis.values.end(),
                    [&](const AxisValue& value) { return value.label == sweep.against; }))
      axes.push_back(axis.name);
  if (axes.empty()) root.fail("against", fmt::format("found '{}', expected a label of an axis", sweep.against));
  if (axes.size() > 1)
    root.fail("against", fmt::format("found '{}', a label of the axes {}; expected a label of one axis", sweep.against,
                                     fmt::join(axes, " and ")));
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

SweepConfig load_sweep(const std::string& path, const std::vector<Edit>& edits, bool needs_data) {
  if (first_invalid_utf8(path) != path.size())
    fail("{}: found the name of a file that is not valid UTF-8, which sweep.json cannot record", path);
  auto source = std::make_shared<JsonSource>(JsonSource{path, read_file(path)});
  Json json = parse_json(*source);
  JsonObject(source, json);  // throws Error if the file holds no object
  for (const Edit& edit : edits) {
    // set.PATH=VALUE changes the configs of all runs. PATH may contain more dots, so it is one key of "set". If "set"
    // is no object, apply_edit() says so.
    const std::string common = "set.";
    const bool fits = !json.contains("set") || json["set"].is_object();
    if (edit.path.starts_with(common) && fits)
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
  std::vector<int64_t> sorted = sweep.seeds;
  std::sort(sorted.begin(), sorted.end());
  if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end())
    root.fail("seeds", fmt::format("found {} twice", *twice));
  sweep.metric = root.string("metric", "val_loss");
  if (root.has("targets")) sweep.targets = load_targets(beside(path, root.string("targets")));
  sweep.against = root.string("against", "");
  if (root.has("loss")) sweep.loss = root.number("loss", {}, 1e-6, 1e6);  // as --loss of rowan compare
  sweep.resources = parse_resources(root.object("resources"));
  sweep.retries = root.integer("retries", 1, 0, 100);
  sweep.keep_checkpoints = root.choice("checkpoints", {"keep", "remove"}, "keep") == "keep";
  if (root.has("comment")) root.raw("comment");
  make_cells(sweep, root, base, common);
  root.finish();
  if (!sweep.against.empty()) check_against(sweep, root);
  check_cells(sweep, needs_data);
  return sweep;
}

}  // namespace rowan
