#include "report/results.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/console.h"
#include "base/error.h"
#include "base/file_identity.h"
#include "base/files.h"
#include "base/json_path.h"
#include "model/config.h"
#include "model/layout.h"
#include "optim/recipe.h"
#include "optim/routing.h"
#include "report/targets.h"
#include "run/metrics.h"
#include "run/starts.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

double figure(const Json& row, const char* key) {
  return row.contains(key) && row[key].is_number() ? row[key].get<double>() : std::numeric_limits<double>::quiet_NaN();
}

void read_rows(const std::vector<Json>& rows, ResultRun& run) {
  double sum = 0, count = 0, tokens_per_step = std::numeric_limits<double>::quiet_NaN();
  for (const Json& row : rows) {
    if (!row.contains("loss")) continue;
    run.steps = row.at("step");
    run.tokens = figure(row, "tokens"), run.seconds = figure(row, "seconds");
    tokens_per_step = run.tokens / static_cast<double>(run.steps);
  }
  const int64_t tenth = std::max<int64_t>(1, run.steps / 10);  // the last tenth of a run has at least one step
  for (const Json& row : rows) {
    if (!row.contains("step")) continue;
    if (begins_other_evaluation(row)) run.validation.clear();  // losses before it are not comparable with later ones
    const double step = row.at("step");
    auto add = [&](std::vector<ResultPoint>& curve, double value) {
      if (std::isfinite(value)) curve.push_back({step, step > 0 ? step * tokens_per_step : 0, value});
    };
    if (row.contains("loss")) {
      add(run.training, figure(row, "loss"));
      if (step > static_cast<double>(run.steps - tenth)) sum += figure(row, "loss"), ++count;
    }
    // A validation loss that is not finite is null in metrics.jsonl.
    if (row.contains("val_loss")) run.diverged = !row["val_loss"].is_number();
    for (const std::string& metric : loss_metrics())
      if (row.contains(metric)) add(run.validation[metric], figure(row, metric.c_str()));
    for (const auto& [name, value] : row.items())
      if (name.starts_with("optimizer/") && value.is_number()) add(run.telemetry[name.substr(10)], value.get<double>());
    if (row.contains("optimizer"))  // format of version 0.1
      for (const auto& [name, value] : row["optimizer"].items())
        if (value.is_number()) add(run.telemetry[name], value.get<double>());
  }
  run.train_loss = sum / count;
  run.ended = ended_step(rows);
}

// The value at a path of a config, as text; "" if the config has no such path.
std::string text_at(const Json& config, const std::string& path) {
  const Json* value = value_at(config, path);
  return !value ? "" : value->is_string() ? value->get<std::string>() : value->dump();
}

// Replaces spellings of an earlier version by the current spellings, in all string values of a config.
void respell(Json& value) {
  if (value.is_string()) value = std::string(current_spelling(value.get<std::string>()));
  if (value.is_structured())
    for (Json& part : value) respell(part);
}

// The keys that decide of which tokens, seen in which context, a validation loss is the mean. `absent` is the value of
// a config that lacks the key; nullptr: unknown.
struct EvaluationKey {
  const char *path, *absent;
};
constexpr EvaluationKey evaluation_keys[] = {{"data.validation", nullptr},       {"data.reading", "packed"},
                                             {"data.documents", "none"},         {"data.batch_means", "none"},
                                             {"batch.sequence_length", nullptr}, {"run.eval_tokens", nullptr}};

// Whether AdamW updates a parameter of the model at this peak rate. Groups may take all such parameters.
bool has_rate(const OptimizerConfig& optimizer, const JsonObject& model, double rate) {
  const ParameterTable table = parameter_table(parse_model(model));
  return std::any_of(table.parameters().begin(), table.parameters().end(), [&](const Parameter& parameter) {
    const Recipe& recipe = *optimizer.groups[group_of(optimizer, parameter)].recipe;
    return recipe.adamw && recipe.lr == rate;
  });
}

}  // namespace

std::string difference_in(const std::vector<const ResultRun*>& runs, const std::string& path, const char* absent) {
  std::vector<std::string> values;
  for (const ResultRun* run : runs) {
    if (run->config.is_null()) continue;
    std::string value = text_at(run->config, path);
    if (value.empty() && absent) value = absent;
    if (!value.empty() && std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
  }
  constexpr size_t most = 4;
  if (values.size() > most) values.resize(most), values.push_back("...");
  return values.size() > 1 ? fmt::format("{} ({})", path, fmt::join(values, ", ")) : "";
}

std::optional<double> ResultRun::final_loss(const std::string& metric) const {
  if (diverged) return std::numeric_limits<double>::infinity();
  const auto curve = validation.find(metric);
  if (curve == validation.end() || curve->second.empty()) return {};
  if (curve->second.back().step != static_cast<double>(last_step())) return {};
  return curve->second.back().loss;
}

std::vector<std::string> notes_on(const ResultSet& set) {
  std::set<std::string> tokenizers;
  std::vector<std::string> notes;
  for (const ResultRun& run : set.runs) {
    if (!run.config.is_null()) tokenizers.insert(text_at(run.config, "tokenizer"));
    if (!run.changes.empty())
      notes.push_back(fmt::format("{} was continued under another config: {}", run.name, fmt::join(run.changes, "; ")));
    if (run.ended)
      notes.push_back(fmt::format("{} ended at step {} of {}, by run.patience", run.name, *run.ended, run.planned));
  }
  if (tokenizers.size() > 1)
    notes.push_back("the runs have different tokenizers: compare val_bits_per_byte of metrics.jsonl, not losses");
  std::vector<const ResultRun*> evaluated;
  for (const ResultRun& run : set.runs)
    if (!run.validation.empty()) evaluated.push_back(&run);
  std::vector<std::string> differences;
  for (const EvaluationKey& key : evaluation_keys)
    if (std::string text = difference_in(evaluated, key.path, key.absent); !text.empty())
      differences.push_back(std::move(text));
  if (!differences.empty())
    notes.push_back(fmt::format("the losses are not of the same text and context: the runs differ in {}",
                                fmt::join(differences, " and ")));
  // precision "auto" depends on the machine, so the runs of one config may differ.
  const bool named = std::find(set.axes.begin(), set.axes.end(), "precision") != set.axes.end();
  if (const std::string text = difference_in(evaluated, "precision"); !named && !text.empty())
    notes.push_back("the runs differ in " + text);
  return notes;
}

Rates rates_of(const ResultRun& run) {
  auto source = std::make_shared<const JsonSource>(JsonSource{.name = run.name, .text = "", .of_run = true});
  JsonObject root(source, run.config);
  try {
    const OptimizerConfig optimizer = parse_optimizer(root.object("optimizer", true), run.planned);
    Rates rates = optimizer.rates();
    const bool has_model = root.has("model") && root.raw("model").is_object();
    if (rates.adamw && has_model && !has_rate(optimizer, root.object("model"), *rates.adamw)) rates.adamw.reset();
    return rates;
  } catch (const Error&) {
    // Another version of Rowan wrote the config, and this one refuses it. The rates are shown all the same.
    const auto number = [&](const char* path) {
      const Json* value = value_at(run.config, path);
      return value && value->is_number() ? std::optional(value->get<double>()) : std::nullopt;
    };
    const Json* name = value_at(run.config, "optimizer.name");
    return {name && name->is_string() ? name->get<std::string>() : "",
            number("optimizer.lr").value_or(std::numeric_limits<double>::quiet_NaN()), number("optimizer.adamw.lr")};
  }
}

ResultRun read_run(const fs::path& folder) {
  const fs::path config = folder / "config.json", metrics = folder / "metrics.jsonl";
  if (is_sweep(folder))
    fail("{}: found a sweep, expected the folder of a run; name the sweep alone, or the folders of its runs in it",
         folder.string());
  if (!fs::exists(config) || !fs::exists(metrics))
    fail("{}: found no {}, expected the folder of a run", folder.string(),
         (fs::exists(config) ? metrics : config).filename().string());
  auto source = std::make_shared<const JsonSource>(JsonSource{config.string(), read_file(config)});
  ResultRun run;
  run.name = folder.string();
  run.config = parse_json(*source);
  respell(run.config);
  JsonObject section = JsonObject(source, run.config).object("run", true);
  run.planned = section.integer("steps");
  run.seed = section.integer("seed", 42);
  const Note note = [](const std::string& text) { tell("rowan: {}\n", text); };
  const std::vector<Json> starts = read_starts(folder, note);
  run.config_file = config_file_of(starts);
  run.changes = changes_on_the_way(starts);
  read_rows(read_metrics(metrics, note), run);
  return run;
}

bool is_sweep(const fs::path& dir) { return fs::exists(dir / "sweep.json"); }

ResultSet read_sweep(const fs::path& dir) {
  auto source =
      std::make_shared<const JsonSource>(JsonSource{(dir / "sweep.json").string(), read_file(dir / "sweep.json")});
  const Json json = parse_json(*source);
  JsonObject root(source, json);
  ResultSet set;
  set.axes = root.strings("axes");
  set.tuned = root.string("tuned");
  set.metric = root.string("metric");
  set.against = root.string("against");
  if (root.has("loss")) set.loss = root.number("loss");
  set.targets = read_targets(root);
  for (JsonObject& known : root.objects("runs")) {
    const std::string name = known.string("name");
    ResultRun run;
    if (fs::exists(dir / name / "config.json") && fs::exists(dir / name / "metrics.jsonl")) run = read_run(dir / name);
    run.name = name;
    run.labels = known.strings("labels");
    run.config_file = known.string("config");
    if (known.boolean("diverged", false)) run.diverged = true;
    if (known.has("tuned")) run.tuned = known.number("tuned");
    // Without `seeds`, all runs of the sweep have their config's seed, and a run that has not begun has no config here.
    run.seed.reset();
    if (known.has("seed")) run.seed = known.integer("seed");
    set.runs.push_back(std::move(run));
  }
  return set;
}

ResultSet read_runs(const std::vector<std::string>& folders, const std::vector<std::string>& by) {
  ResultSet set;
  set.axes = by;
  check_given_once(folders);
  for (const std::string& folder : folders) {
    ResultRun& run = set.runs.emplace_back(read_run(folder));
    for (const std::string& path : by) run.labels.push_back(text_at(run.config, path));
  }
  for (size_t axis = 0; axis < by.size(); ++axis) {
    bool found = false;
    for (const ResultRun& run : set.runs) found = found || !run.labels[axis].empty();
    if (!found) fail("--by: found '{}', which no run's config has", by[axis]);
  }
  return set;
}

}  // namespace rowan
