// The named recipes. Their settings are JSON. A config overrides them under the same keys.
#pragma once

#include <string>
#include <vector>

namespace rowan {

struct Recipe;

// A named recipe: its settings, and the texts that `rowan optimizers` prints.
struct RecipeInfo {
  const char* name;
  const char* source;             // sources: paper and code
  const char* routing;            // default routing: hidden, two_dimensional or everything
  const char* rule;               // the rule as formulas
  const char* deviations;         // differences between paper, code and this program
  const char* settings;           // settings as JSON
  const char* paper = nullptr;    // JSON overrides for "variant": "paper"; nullptr: there is no such variant
  const char* adamw = "{}";       // AdamW settings for other parameters; lr and weight_decay default to the recipe's
  const char* checked = nullptr;  // the program with which the recipe was compared
  const char* base = nullptr;     // the recipe whose settings and AdamW settings this recipe overrides
};

// The recipes of recipes_field.cpp. recipes() returns them too, after those of recipes.cpp.
extern const std::vector<RecipeInfo> recipes_of_the_field;

const std::vector<RecipeInfo>& recipes();
std::vector<std::string> recipe_names();
// Throws Error if no recipe has this name.
const RecipeInfo& find_recipe(const std::string& name);
// Whether the AdamW settings of a recipe, or of one that it is based on, contain a key. False for the name "recipe".
bool has_adamw_setting(const std::string& name, const char* key);
// The family under which `rowan optimizers` lists a recipe.
std::string family_of(const RecipeInfo& info);
// The named recipe. The name "recipe" is for recipes that a config composes: every optional stage is off. Throws Error
// for an unknown name, or if `variant` is "paper" and the named recipe has no such variant.
Recipe named_recipe(const std::string& name, const std::string& variant = "code");

}  // namespace rowan
