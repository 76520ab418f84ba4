#include "train/continuation.h"

#include <fmt/format.h>

#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/json_path.h"
#include "model/config.h"
#include "model/layout.h"

namespace rowan {
namespace {

// The other settings of the sample order are those of the shards, which the checkpoint knows better than the config.
constexpr const char* order_keys[] = {"batch.sequences", "batch.sequence_length", "run.seed", "data.order",
                                      "data.reading"};

constexpr const char* evaluated_keys[] = {"data.validation", "data.batch_means", "data.hellaswag", "run.eval_tokens"};

std::string said(const std::string& key, const std::string& was, const std::string& is) {
  return fmt::format("{}: {} there, {} here", key, was, is);
}

// The model of a config; nothing if this version does not read it.
std::optional<ModelConfig> model_in(const Json& config) {
  const Json* model = value_at(config, "model");
  if (!model || !model->is_object()) return {};
  try {
    return parse_model(JsonObject(std::make_shared<JsonSource>(), *model));
  } catch (const Error&) {
    return {};
  }
}

using Shapes = std::vector<std::pair<std::string, std::vector<int64_t>>>;
Shapes shapes_of(const ModelConfig& model) {
  Shapes shapes;
  const ParameterTable table = parameter_table(model);
  for (const Parameter& parameter : table.parameters()) shapes.emplace_back(parameter.name, parameter.shape);
  return shapes;
}

std::string model_difference(const Json& before, const Json& now) {
  const std::optional<ModelConfig> was = model_in(before), is = model_in(now);
  if (!was || !is) return "";
  if (was->family == is->family) {
    const auto there = function_keys(*was), here = function_keys(*is);
    for (size_t i = 0; i < here.size(); ++i)
      if (there[i].second != here[i].second) return said(here[i].first, there[i].second, here[i].second);
  }
  if (was->family == is->family && shapes_of(*was) == shapes_of(*is)) return "";
  const Json changes = changes_of(was->resolved, is->resolved);
  for (const auto& [pointer, change] : changes.items())
    return said("model." + dotted_path(pointer), change["from"].dump(), change["to"].dump());
  return "";
}

bool is_rate(const std::string& pointer) {
  for (const char* rate : {"/lr", "/lr_ratio", "/weight_decay"})
    if (pointer.ends_with(rate)) return true;
  return false;
}

}  // namespace

std::string fixed_difference(const Json& before, const Json& now) {
  for (const char* key : order_keys) {
    const Json *was = value_at(before, key), *is = value_at(now, key);
    if (was && is && *was != *is) return said(key, was->dump(), is->dump());
  }
  return model_difference(before, now);
}

std::string condition_of(const Json& changes) {
  bool shards = false, state = false;
  for (const auto& [pointer, change] : changes.items()) {
    for (const char* key : {"/data/train", "/data/mixture", "/data/format", "/data/width", "/data/end_id"})
      shards = shards || pointer.starts_with(key);
    state = state || (pointer.starts_with("/optimizer/") && !is_rate(pointer));
  }
  std::vector<std::string> needs;
  if (shards) needs.push_back("its shards are the same");
  if (state) needs.push_back("its optimizer has the same state");
  return needs.empty() ? "" : fmt::format(" if {}", fmt::join(needs, " and "));
}

bool evaluates_otherwise(const Json& before, const Json& now) {
  for (const char* key : evaluated_keys) {
    const Json *was = value_at(before, key), *is = value_at(now, key);
    if (is && !is->is_null() && *is != "" && (!was || *was != *is)) return true;
  }
  return false;
}

bool measures_otherwise(const Json& before, const Json& now, bool other_text) {
  const Json* text = value_at(now, "data.validation");
  if (!text || text->is_null() || *text == "") return false;
  auto differs = [&](const char* key) {
    const Json *was = value_at(before, key), *is = value_at(now, key);
    return (was ? *was : Json()) != (is ? *is : Json());
  };
  return other_text || differs("data.documents") || differs("data.batch_means") || differs("run.eval_tokens");
}

}  // namespace rowan
