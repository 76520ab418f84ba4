#include "optim/config.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "base/names.h"
#include "optim/recipe.h"
#include "optim/recipes.h"

namespace rowan {
namespace {

enum class RoundingMode : uint8_t { nearest, stochastic };
constexpr auto names_of(RoundingMode) { return enum_names("nearest", "stochastic"); }

const std::vector<Role> two_dimensional = {Role::matrix, Role::embedding, Role::head};

// A number whose default is the value of another setting.
struct Own {
  double value = 0;
  bool given = false;

  void read(JsonObject& object, const char* key, double otherwise) {
    given = given || object.has(key);
    value = object.number(key, given ? value : otherwise, 0, 1e6);
  }
};

// The AdamW for parameters that the main recipe does not update, with separate values for embeddings and vectors.
struct Half {
  Recipe recipe;
  double lr_ratio = 0;
  Own embedding_lr, vector_lr, vector_decay;

  void read(JsonObject object, double main_lr) {
    read_recipe(object, recipe);
    if (object.has("lr_ratio")) {
      if (object.has("lr")) object.fail("lr_ratio", "conflicts with lr; give one of them");
      lr_ratio = object.number("lr_ratio", {}, 0, 1e6);
      if (lr_ratio == 0) object.fail("lr_ratio", "found 0, expected more than 0");
      recipe.lr = lr_ratio * main_lr;
    } else if (object.has("lr")) {
      lr_ratio = 0;
    }
    embedding_lr.read(object, "embedding_lr", recipe.lr);
    vector_lr.read(object, "vector_lr", recipe.lr);
    vector_decay.read(object, "vector_weight_decay", recipe.weight_decay);
    if (recipe.mars_gamma > 0) object.fail("mars_gamma", "belongs to the recipe mars-adamw");
    object.finish();
  }
  // Applies a recipe's AdamW settings. If the recipe has a base, the base's AdamW settings are applied first.
  void read(const RecipeInfo& info, double main_lr) {
    if (info.base) read(find_recipe(info.base), main_lr);
    auto source = std::make_shared<JsonSource>(JsonSource{std::string("the AdamW half of ") + info.name, info.adamw});
    Json json = parse_json(*source);
    read(JsonObject(source, json), main_lr);
  }
  Recipe of_embeddings() const {
    Recipe own = recipe;
    own.lr = embedding_lr.value;
    return own;
  }
  Recipe of_vectors() const {
    Recipe own = recipe;
    own.lr = vector_lr.value;
    own.weight_decay = vector_decay.value;
    return own;
  }
};

Half adamw_half(const std::string& name, const Recipe& main, JsonObject object) {
  Half half;
  half.recipe = named_recipe("adamw");
  half.recipe.lr = main.lr;
  half.recipe.weight_decay = main.weight_decay;
  if (name != "recipe") half.read(find_recipe(name), main.lr);
  half.read(std::move(object), main.lr);
  return half;
}

std::shared_ptr<const Recipe> shared(const Recipe& recipe) { return std::make_shared<const Recipe>(recipe); }

std::vector<std::string> all_names_of_recipes() {
  std::vector<std::string> names = recipe_names();
  names.push_back("recipe");
  return names;
}

// Reads the variant of the recipe `name`.
std::string given_variant(JsonObject& object, const std::string& name) {
  const std::string variant = object.choice("variant", {"code", "paper"}, std::string("code"));
  if (variant == "paper" && (name == "recipe" || !find_recipe(name).paper))
    object.fail("variant", fmt::format("found 'paper', expected code; {} has no variant 'paper'", name));
  return variant;
}

Group given_group(JsonObject object, const Recipe& main, const Recipe& adamw, int64_t steps) {
  Group group;
  group.name = object.path().substr(object.path().rfind("groups"));
  static_cast<Selection&>(group) = parse_selection(object, "a group");
  const std::string name = object.choice("name", all_names_of_recipes(), main.name);
  const std::string variant = given_variant(object, name);
  const bool is_main = name == main.name && (!object.has("variant") || variant == main.variant);
  Recipe recipe = is_main ? main : name == "adamw" ? adamw : named_recipe(name, variant);
  read_recipe(object, recipe);
  check_recipe(object, recipe);
  group.recipe = shared(recipe);
  if (object.has("schedule")) group.schedule = parse_schedule(object.object("schedule"), steps);
  object.finish();
  return group;
}

// Throws Error if "adamw" sets a key that updates no parameter under this routing.
void check_half(const JsonObject& adamw, const OptimizerConfig& config) {
  if (adamw.is_unchanged_run()) return;
  const bool in_group = config.has_group_of("adamw");
  for (const std::string& key : adamw.keys()) {
    const bool embeddings = key == "embedding_lr", vectors = key.starts_with("vector_");
    if (config.routing == Routing::everything && (embeddings || vectors || !in_group))
      adamw.fail(key, fmt::format("has no effect here: routing everything leaves no {} to adamw", vectors ? "vectors"
                                                                                                  : embeddings
                                                                                                      ? "embeddings"
                                                                                                      : "parameters"));
    if (config.routing == Routing::two_dimensional && embeddings)
      adamw.fail(key, "has no effect here: only routing hidden leaves embeddings to adamw");
  }
}

}  // namespace

void visit(OptimizerConfig& config, Section& keys) {
  keys.other({.name = "name", .help = "a recipe of `rowan optimizers`, or `recipe` to compose one", .required = true},
             {});
  keys.other(
      {.name = "variant", .help = "`code`: as the authors' program does it; `paper`: as printed", .absent = "`code`"},
      {});
  keys.choice({.name = "routing",
               .help = "what the recipe updates: `hidden` matrices, all `two_dimensional` parameters, or `everything`",
               .absent = "the recipe's"},
              config.routing);
  keys.other(
      {.name = "adamw",
       .help =
           "AdamW for the other parameters: `lr`, or `lr_ratio` that ties it to the recipe's `lr`; `embedding_lr` and "
           "`vector_lr` where they differ from it; `weight_decay`, `vector_weight_decay`, `betas`, `eps`, "
           "`corrected_eps`, `corrected_decay`, `decay`, `decay_rate`, `decay_course`, `width_scale`, `width_base`",
       .absent = "the recipe's"},
      {});
  keys.other(
      {.name = "groups",
       .help =
           "a list of `{\"roles\": [...], \"names\": [\"*.q_proj.*\"], \"name\": RECIPE, ...}`: the first entry "
           "that matches a parameter updates it, whatever the `routing`; an entry takes the switches of its recipe, "
           "and may have a `variant` and a `schedule` of its own; with the main recipe's name and variant, it begins "
           "with the main recipe's values; `adamw` begins with those of `adamw`, but its rates of embeddings and "
           "vectors",
       .absent = "none"},
      {});
  RoundingMode rounding = config.stochastic ? RoundingMode::stochastic : RoundingMode::nearest;
  keys.choice({.name = "rounding", .help = "how bf16 weights without masters are rounded"}, rounding);
  config.stochastic = rounding == RoundingMode::stochastic;
  keys.choice({.name = "state", .help = "`fp32`, `bf16`, or `auto`: bf16 for weights of `bf16_pure`, else fp32"},
              config.state);
  keys.integer<0, int64_t{1} << 40>(
      {.name = "telemetry_every",
       .help = "steps between rows with the optimizer's metrics that papers plot; 0: never",
       .continues = true},
      config.telemetry_every);
}

OptimizerConfig parse_optimizer(JsonObject object, int64_t steps) {
  const std::string name = object.choice("name", all_names_of_recipes());
  Recipe main = named_recipe(name, given_variant(object, name));
  read_recipe(object, main);
  check_recipe(object, main);

  OptimizerConfig config;
  if (name != "recipe") config.routing = named<Routing>("routing", find_recipe(name).routing);
  read_keys(object, [&](Section& keys) { visit(config, keys); });
  Half half;
  if (name == "adamw") {
    half.recipe = main;
    half.embedding_lr.value = half.vector_lr.value = main.lr;
    half.vector_decay.read(object, "vector_weight_decay", 0);
  } else {
    half = adamw_half(name, main, object.object("adamw"));
  }
  if (object.has("groups"))
    for (JsonObject& item : object.objects("groups"))
      config.groups.push_back(given_group(std::move(item), main, half.recipe, steps));
  config.given = config.groups.size();
  if (name != "adamw") check_half(object.object("adamw"), config);
  config.adamw_lr_ratio = half.lr_ratio;
  if (config.routing == Routing::hidden) {
    config.groups.push_back({{{Role::matrix}, {}}, "matrices", shared(main)});
    if (half.embedding_lr.value == half.recipe.lr) {
      config.groups.push_back({{{Role::embedding, Role::head}, {}}, "embeddings and head", shared(half.recipe)});
    } else {
      config.groups.push_back({{{Role::embedding}, {}}, "embeddings", shared(half.of_embeddings())});
      config.groups.push_back({{{Role::head}, {}}, "head", shared(half.recipe)});
    }
    config.groups.push_back({{}, "vectors", shared(half.of_vectors())});
  } else if (config.routing == Routing::two_dimensional || name == "adamw") {
    config.groups.push_back({{two_dimensional, {}}, "matrices", shared(main)});
    config.groups.push_back({{}, "vectors", shared(half.of_vectors())});
  } else {
    config.groups.push_back({{}, "everything", shared(main)});
  }

  object.finish();
  return config;
}

bool OptimizerConfig::has_group_of(const std::string& recipe, const std::string& variant) const {
  return std::any_of(groups.begin(), groups.begin() + static_cast<ptrdiff_t>(given), [&](const Group& group) {
    return group.recipe->name == recipe && group.recipe->variant == variant;
  });
}

const Recipe* OptimizerConfig::adamw_half() const {
  if (main().name == "adamw" || routing == Routing::everything) return nullptr;
  return groups[groups.size() - (routing == Routing::hidden ? 2 : 1)].recipe.get();
}

Rates OptimizerConfig::rates() const {
  Rates rates{main().name, main().lr, {}};
  if (const Recipe* half = adamw_half()) rates.adamw = half->lr;
  return rates;
}

Json to_json(OptimizerConfig config) {
  const Recipe& main = config.main();
  const Recipe& last = *config.groups.back().recipe;
  Json json = to_json(main);
  json["variant"] = main.variant;
  json.update(write_keys([&](Section& keys) { visit(config, keys); }));
  if (main.name == "adamw") json["vector_weight_decay"] = last.weight_decay;
  if (const Recipe* half = config.adamw_half()) {
    Json adamw = to_json(*half);
    adamw.erase("name");
    const double embedding_lr = config.groups[config.given + 1].recipe->lr;
    if (config.routing == Routing::hidden && (embedding_lr != half->lr || has_adamw_setting(main.name, "embedding_lr")))
      adamw["embedding_lr"] = embedding_lr;
    if (last.lr != half->lr || has_adamw_setting(main.name, "vector_lr")) adamw["vector_lr"] = last.lr;
    if (config.adamw_lr_ratio > 0) {
      adamw.erase("lr");
      adamw["lr_ratio"] = config.adamw_lr_ratio;
    }
    adamw["vector_weight_decay"] = last.weight_decay;
    json["adamw"] = adamw;
  }
  for (size_t i = 0; i < config.given; ++i) {
    Json group = to_json(*config.groups[i].recipe);
    // Without the key, a group with the main recipe's name has the main recipe's variant.
    if (config.groups[i].recipe->variant != main.variant) group["variant"] = config.groups[i].recipe->variant;
    for (Role role : config.groups[i].roles) group["roles"].push_back(name_of(role));
    for (const std::string& name : config.groups[i].names) group["names"].push_back(name);
    if (config.groups[i].schedule) group["schedule"] = to_json(*config.groups[i].schedule);
    json["groups"].push_back(group);
  }
  return json;
}

}  // namespace rowan
