#include "optim/routing.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "base/names.h"
#include "optim/recipe.h"
#include "optim/recipes.h"

namespace rowan {
namespace {

// Throws Error if "adamw" sets a key although groups, or rates of embeddings and vectors, leave nothing that reads it.
// `taken`: whether a group has parameters. The routing is not `everything`, and the main recipe is not adamw.
void check_adamw_is_used(const JsonObject& adamw, const OptimizerConfig& config, const std::vector<bool>& taken) {
  if (adamw.is_unchanged_run()) return;
  const size_t first = config.given + 1, vectors = taken.size() - 1;  // the groups of the AdamW half
  const bool hidden = config.routing == Routing::hidden, own_embeddings = hidden && vectors - first == 2;
  const auto check = [&](const char* key, size_t group, const char* what) {
    if (!taken[group] && adamw.has(key))
      adamw.fail(key, fmt::format("has no effect here: groups update all {}; set it in the group", what));
  };
  for (const char* key : {"vector_lr", "vector_weight_decay"}) check(key, vectors, "vectors");
  if (hidden) check("embedding_lr", first, "embeddings");
  if (config.has_group_of("adamw")) return;
  bool any = false, reads_rate = false;
  for (size_t group = first; group <= vectors; ++group) {
    if (!taken[group]) continue;
    any = true;
    const char* own = group == vectors ? "vector_lr" : group == first && own_embeddings ? "embedding_lr" : nullptr;
    if (!own || !(adamw.has(own) || has_adamw_setting(config.main().name, own))) reads_rate = true;
  }
  for (const std::string& key : adamw.keys()) {
    if (!any) adamw.fail(key, "has no effect here: groups update all parameters that adamw would");
    if (!reads_rate && (key == "lr" || key == "lr_ratio"))
      adamw.fail(key, "has no effect here: all parameters of adamw have a rate of their own (embedding_lr, vector_lr)");
  }
}

std::string patterns(const Group& group) {
  std::vector<std::string> parts = group.names;
  for (Role role : group.roles) parts.push_back(name_of(role));
  return join(parts);
}

std::vector<std::string> pieces(const std::string& name) {
  std::vector<std::string> result;
  for (size_t begin = 0, end; begin < name.size(); begin = end + 1) {
    end = std::min(name.find_first_of(".*?", begin), name.size());
    if (end > begin) result.push_back(name.substr(begin, end - begin));
  }
  return result;
}

// A piece of a name or pattern is the text between dots and wildcards. Suggests a correction for the first piece in
// `patterns` that no parameter's name contains as a piece.
std::string suggestion(const std::vector<std::string>& patterns, const ParameterTable& table) {
  std::vector<std::string> known;
  for (const Parameter& parameter : table.parameters())
    for (const std::string& piece : pieces(parameter.name)) known.push_back(piece);
  for (const std::string& pattern : patterns)
    for (const std::string& piece : pieces(pattern))
      if (std::find(known.begin(), known.end(), piece) == known.end()) return did_you_mean(piece, known);
  return "";
}

}  // namespace

void check_routing(JsonObject object, const OptimizerConfig& config, const ParameterTable& table) {
  std::vector<bool> taken(config.groups.size()), heads(config.groups.size());
  for (const Parameter& parameter : table.parameters()) {
    const size_t group = group_of(config, parameter);
    taken[group] = true;
    heads[group] = heads[group] || parameter.head_rows > 0 || parameter.head_cols > 0;
    if (parameter.shape.size() != 2) continue;
    block_rows(*config.groups[group].recipe, parameter);
    column_blocks(*config.groups[group].recipe, parameter);
  }
  for (size_t i = 0; i < config.given; ++i) {
    if (taken[i] && !heads[i] && config.groups[i].recipe->blocks.of_heads() && !object.source().of_run)
      if (const JsonObject group = object.objects("groups")[i]; group.has("blocks"))
        group.fail("blocks", "has no effect here: no parameter of the group has heads");
    if (taken[i]) continue;
    const Group& group = config.groups[i];
    object.objects("groups")[i].fail(
        group.names.empty() ? "roles" : "names",
        fmt::format("no parameter of the model is left for {}{}", patterns(group), suggestion(group.names, table)));
  }
  // Tables, telemetry and sweeps name the main recipe and its rate, so these must be in use. A main recipe adamw has
  // all groups that the config does not list, another recipe only the first of them.
  const Recipe& main = config.main();
  const auto own = taken.begin() + static_cast<ptrdiff_t>(config.given);
  const auto end = main.name == "adamw" ? taken.end() : own + 1;
  const bool idle = std::find(own, end, true) == end;
  if (idle && !config.has_group_of(main.name, main.variant) && !object.source().of_run)
    object.fail("name", fmt::format("found {}, which updates nothing: groups take all of its parameters; name the "
                                    "recipe of a group here",
                                    main.name));
  if (main.name == "adamw" || config.routing == Routing::everything) return;
  check_adamw_is_used(object.object("adamw"), config, taken);
}

size_t group_of(const OptimizerConfig& config, const Parameter& parameter) {
  for (size_t i = 0; i < config.groups.size(); ++i) {
    const Group& group = config.groups[i];
    if (!group.takes(parameter)) continue;
    if (parameter.shape.size() != 2 && !group.recipe->adamw && group.recipe->atom() != Atom::element)
      fail("optimizer: group '{}': {} is not a matrix, but {} updates only matrices; use adamw, lion or sgdm",
           group.name, parameter.name, group.recipe->name);
    return i;
  }
  fail("optimizer: no group takes {}", parameter.name);
}

Atom atom_of(const OptimizerConfig& config, const Parameter& parameter) {
  const Atom atom = config.groups[group_of(config, parameter)].recipe->atom();
  return parameter.shape.size() == 2 ? atom : Atom::element;
}

std::vector<std::pair<std::string, double>> group_rates(const OptimizerConfig& config, const ParameterTable& table,
                                                        int64_t step, const Pace& pace) {
  std::vector<bool> taken(config.groups.size());
  for (const Parameter& parameter : table.parameters()) taken[group_of(config, parameter)] = true;
  std::vector<std::pair<std::string, double>> rates;
  for (size_t i = 0; i < config.groups.size(); ++i) {
    const Group& group = config.groups[i];
    std::string name = group.name;
    std::replace(name.begin(), name.end(), ' ', '_');
    if (taken[i])
      rates.emplace_back(name, group.recipe->lr * (group.schedule ? group.schedule->pace(step) : pace).rate);
  }
  return rates;
}

int64_t block_rows_of(const OptimizerConfig& config, const Parameter& parameter) {
  if (parameter.shape.size() != 2) return 0;
  const Recipe& recipe = *config.groups[group_of(config, parameter)].recipe;
  if (recipe.adamw || recipe.blocks.by == Blocks::By::none) return 0;
  const std::vector<int64_t> rows = block_rows(recipe, parameter);
  const bool equal = std::all_of(rows.begin(), rows.end(), [&](int64_t r) { return r == rows[0]; });
  return rows.size() > 1 && equal ? rows[0] : 0;
}

std::string describe_groups(const OptimizerConfig& config, const ParameterTable& table) {
  std::vector<int64_t> tensors(config.groups.size()), elements(config.groups.size());
  for (const Parameter& parameter : table.parameters()) {
    const size_t group = group_of(config, parameter);
    ++tensors[group];
    elements[group] += parameter.numel();
  }
  std::string text;
  for (size_t i = 0; i < config.groups.size(); ++i) {
    const Group& group = config.groups[i];
    if (tensors[i] == 0 && i >= config.given) continue;
    const std::string which = patterns(group);
    text += fmt::format("{}{}: {} tensors, {} elements, lr {}, weight decay {}, {} ({})\n", group.name,
                        which.empty() ? "" : fmt::format(" [{}]", which), tensors[i], elements[i], group.recipe->lr,
                        group.recipe->weight_decay, group.recipe->name, describe(*group.recipe));
  }
  return text;
}

}  // namespace rowan
