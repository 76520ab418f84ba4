// The named recipes: data, written in the same JSON keys with which a config overrides them.
#pragma once

#include <string>
#include <vector>

namespace rowan {

struct Recipe;

// A named recipe: its settings, and texts for people.
struct RecipeInfo {
  const char* name;
  const char* source;             // sources: paper and code
  const char* routing;            // default routing: hidden, two_dimensional or everything
  const char* rule;               // the rule as formulas
  const char* deviations;         // differences between paper, code and this program
  const char* settings;           // settings as JSON
  const char* paper = nullptr;    // JSON overrides for "variant": "paper"; nullptr if the paper prints the same rule
  const char* adamw = "{}";       // JSON of its AdamW: lr, weight_decay, ...; absent keys are those of the matrices
  const char* checked = nullptr;  // the program that it was compared with
  const char* base = nullptr;     // the recipe whose settings and AdamW are overridden
};

extern const std::vector<RecipeInfo> recipes_of_the_field;

const std::vector<RecipeInfo>& recipes();
std::vector<std::string> recipe_names();
// Throws Error naming the nearest recipe if there is none of this name.
const RecipeInfo& find_recipe(const std::string& name);
// The family under which `rowan optimizers` lists a recipe.
std::string family_of(const RecipeInfo& info);
// The named recipe. "recipe" is the empty one to compose from, with every stage off.
Recipe named_recipe(const std::string& name, const std::string& variant = "code");

}  // namespace rowan
