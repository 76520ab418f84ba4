// The named recipes: data, written in the same JSON keys with which a config overrides them.
#pragma once

#include <string>
#include <vector>

namespace rowan {

struct Recipe;

// A named recipe, for people and as data.
struct RecipeInfo {
  const char* name;
  const char* source;           // paper and code
  const char* routing;          // what it takes by default: hidden, two_dimensional or everything
  const char* rule;             // formulas
  const char* deviations;       // paper against code, and ours
  const char* settings;         // JSON
  const char* paper = nullptr;  // JSON of the overrides of "variant": "paper", or nullptr when it prints no other rule
  const char* adamw = "{}";     // JSON of the AdamW half: lr, weight_decay, ... ; absent keys are those of the matrices
  const char* checked = nullptr;  // whose program it was held against
  const char* base = nullptr;     // the recipe whose settings and AdamW these override
};

extern const std::vector<RecipeInfo> recipes_of_the_field;

const std::vector<RecipeInfo>& recipes();
std::vector<std::string> recipe_names();
// Throws Error naming the nearest recipe.
const RecipeInfo& find_recipe(const std::string& name);
// Of a recipe in the list of `rowan optimizers`.
std::string family_of(const RecipeInfo& info);
// The recipe as named; "recipe" is the one to compose from, with every stage off.
Recipe named_recipe(const std::string& name, const std::string& variant = "code");

}  // namespace rowan
