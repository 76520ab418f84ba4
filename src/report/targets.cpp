#include "report/targets.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/json_path.h"
#include "base/names.h"

namespace rowan {

namespace fs = std::filesystem;

const std::vector<std::string>& loss_metrics() {
  static const std::vector<std::string> names = {"val_loss", "val_loss_batch_mean", "val_loss_galore"};
  return names;
}

void check_metric(const std::string& metric, const DataConfig& data, const std::string& place) {
  const std::vector<std::string>& names = loss_metrics();
  if (std::find(names.begin(), names.end(), metric) == names.end())
    fail("{}: found '{}', expected one of {}{}", place, metric, join(names), did_you_mean(metric, names));
  if (data.validation.empty()) fail("{}: found {}, which needs validation data; the config names none", place, metric);
  if (metric != "val_loss" && data.batch_means.ranks == 0)
    fail("{}: found {}, which needs data.batch_means; the config has none", place, metric);
  if (metric == "val_loss_galore" && data.reading != Reading::documents)
    fail("{}: found {}, which needs data.reading documents; the config has {}", place, metric, name_of(data.reading));
}

double Target::loss() const { return unit == "perplexity" ? std::log(value) : value; }

double Target::loss_of_batch_mean() const {
  const auto n = static_cast<double>(batches);
  return batches ? loss() * (n + 1) / n : loss();
}

namespace {

Json checked(JsonObject target, const fs::path& folder) {
  Json item = Json::object();
  item["config"] = (folder / target.string("config")).lexically_normal().string();
  JsonObject set = target.object("set");
  item["set"] = Json::object();
  for (const std::string& path : set.keys()) item["set"][path] = set.raw(path);
  item["metric"] = target.choice("metric", loss_metrics());
  const bool perplexity = target.has("perplexity");
  if (perplexity && target.has("nats")) target.fail("nats", "conflicts with perplexity; give one of them");
  item["unit"] = perplexity ? "perplexity" : "nats";
  item["value"] = target.number(item["unit"], {}, perplexity ? 1 : 0);
  item["step"] = target.integer("step", {}, 0);
  item["seeds"] = target.integer("seeds", 0, 0);
  if (target.has("deviation")) item["deviation"] = target.number("deviation", {}, 0);
  item["batches"] = target.integer("batches", 0, 0);
  item["source"] = target.string("source");
  item["confidence"] = target.choice("confidence", {"printed", "plotted", "reported"}, "printed");
  if (target.has("comment")) target.raw("comment");
  target.finish();
  if (item["metric"] == "val_loss_galore" && item["batches"] == 0)
    target.fail("batches", "is missing: val_loss_galore needs the number of batches");
  return item;
}

// Reads a target in the form that checked() returns.
Target stored_target(JsonObject item) {
  Target target;
  target.config = item.string("config");
  JsonObject set = item.object("set", true);
  target.set = Json::object();
  for (const std::string& path : set.keys()) target.set[path] = set.raw(path);
  target.metric = item.choice("metric", loss_metrics());
  target.unit = item.choice("unit", {"perplexity", "nats"});
  target.value = item.number("value", {}, target.unit == "perplexity" ? 1 : 0);
  target.step = item.integer("step", {}, 0);
  target.seeds = item.integer("seeds", {}, 0);
  if (item.has("deviation")) target.deviation = item.number("deviation", {}, 0);
  target.batches = item.integer("batches", {}, 0);
  target.source = item.string("source");
  target.confidence = item.choice("confidence", {"printed", "plotted", "reported"});
  return target;
}

// Checks an entry of "elsewhere": a published figure that no config reproduces.
void check_elsewhere(JsonObject figure) {
  figure.string("source");
  figure.string("what");
  figure.string("optimizer");
  const bool bits = figure.has("bits_per_byte"), nats = figure.has("nats");
  if (bits + nats + figure.has("perplexity") != 1)
    figure.fail("what", "expected exactly one of perplexity, nats and bits_per_byte beside this key");
  figure.number(bits ? "bits_per_byte" : nats ? "nats" : "perplexity", {}, 0);
  if (figure.has("seeds")) figure.integer("seeds", {}, 1);
  if (figure.has("deviation")) figure.number("deviation", {}, 0);
  figure.finish();
}

}  // namespace

Json load_targets(const std::string& path) {
  auto source = std::make_shared<const JsonSource>(JsonSource{path, read_file(path)});
  const Json json = parse_json(*source);
  JsonObject root(source, json);
  Json targets = Json::array();
  std::map<Json, double> known;  // maps the setup of a result to its loss
  for (JsonObject& target : root.objects("targets")) {
    const Json& item = targets.emplace_back(checked(target, fs::path(path).parent_path()));
    const double loss = parse_target(item).loss();
    const Json setup = {item["config"], item["set"], item["metric"], item["step"]};
    if (const auto [at, fresh] = known.emplace(setup, loss); !fresh && at->second != loss)
      target.fail(item["unit"], fmt::format("found {}, expected {:.6g} nats as another result has, or another set, "
                                            "metric or step",
                                            item["value"].dump(), at->second));
  }
  if (root.has("elsewhere"))
    for (JsonObject& figure : root.objects("elsewhere")) check_elsewhere(std::move(figure));
  for (const char* other : {"paper", "settings", "unpublished", "comment"})
    if (root.has(other)) root.raw(other);
  root.finish();
  return targets;
}

Target parse_target(const Json& item) {
  return stored_target(JsonObject(std::make_shared<const JsonSource>(JsonSource{"targets", ""}), item));
}

Json read_targets(JsonObject& sweep) {
  for (JsonObject& item : sweep.objects("targets")) stored_target(std::move(item));
  return sweep.raw("targets");
}

bool is_config_of(const Json& target, const std::string& config_file) {
  const std::string theirs = target.at("config");
  std::error_code absent;  // if a file is absent, only the paths are compared
  return !config_file.empty() &&
         (theirs == fs::path(config_file).lexically_normal().string() || fs::equivalent(theirs, config_file, absent));
}

std::optional<Target> target_of(const Json& targets, const std::string& config_file, const Json& config) {
  const Json* steps = value_at(config, "run.steps");
  std::optional<Target> best;
  auto better = [&](const Target& target) {
    if (!best || target.set.size() != best->set.size()) return !best || target.set.size() > best->set.size();
    if (steps && *steps == best->step) return false;
    return (steps && *steps == target.step) || target.step > best->step;
  };
  for (const Json& item : targets) {
    if (!is_config_of(item, config_file)) continue;
    const Json& set = item.at("set");
    const bool fits = std::all_of(set.items().begin(), set.items().end(), [&](const auto& entry) {
      const Json* value = value_at(config, entry.key());
      return value && *value == entry.value();
    });
    if (!fits) continue;
    if (Target target = parse_target(item); better(target)) best = std::move(target);
  }
  return best;
}

std::optional<double> published_loss(const Target& target, const std::string& metric) {
  if (metric == target.metric) return target.loss();
  if (metric == "val_loss_batch_mean" && target.metric == "val_loss_galore") return target.loss_of_batch_mean();
  return {};
}

}  // namespace rowan
