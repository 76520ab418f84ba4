// rowan optimizers: lists the recipes, shows one recipe, or explains the switches of the recipe named `recipe`.
#include <fmt/core.h>

#include <algorithm>

#include "base/console.h"
#include "base/error.h"
#include "base/json.h"
#include "commands/commands.h"
#include "optim/config.h"
#include "optim/recipe.h"
#include "optim/recipes.h"

namespace rowan {
namespace {

void print_indented(const char* text) {
  std::string lines = "  ";
  for (const char* c = text; *c; ++c) lines += *c == '\n' ? std::string("\n  ") : std::string(1, *c);
  print_wrapped(2, "{}\n", lines);
}

OptimizerConfig resolved(const std::string& name, const std::string& variant) {
  auto source =
      std::make_shared<JsonSource>(JsonSource{"the recipe", Json{{"name", name}, {"variant", variant}}.dump()});
  Json json = parse_json(*source);
  return parse_optimizer(JsonObject(source, json));
}

std::string checked_text(const RecipeInfo& info) {
  return info.checked ? std::string("checked against ") + info.checked : "checked against its formula alone";
}

void list() {
  std::vector<std::string> families;
  for (const RecipeInfo& info : recipes())
    if (const std::string family = family_of(info);
        std::find(families.begin(), families.end(), family) == families.end())
      families.push_back(family);
  for (const std::string& family : families) {
    print_wrapped(2, "{}\n", family);
    for (const RecipeInfo& info : recipes()) {
      if (family_of(info) != family) continue;
      const Recipe recipe = named_recipe(info.name);
      print_wrapped(19, "  {:<16} {}\n", info.name, describe(recipe));
      print_wrapped(19, "  {:<16} {}; atom: {}; {}\n", "", info.source, name_of(recipe.atom()), checked_text(info));
    }
    print_wrapped(2, "\n");
  }
  print_wrapped(2, "{:<18} {}\n", "recipe", "your own, from any of these stages: rowan optimizers recipe");
}

void show_switches() {
  print_wrapped(
      2,
      "recipe: your own, a choice for each stage; any named recipe takes the same switches. What the switches do, and "
      "how to name a recipe or add a stage: src/optim/README.md\n\nswitches\n{}\nwith every stage off\n{}\n",
      describe_switches(), to_json(resolved("recipe", "code")).dump(1));
}

void show(const std::string& name) {
  const RecipeInfo& info = find_recipe(name);
  print_wrapped(2, "{}: {}\n\nrule (t from 1; g is the clipped gradient; weights [out, in])\n", info.name, info.source);
  print_indented(info.rule);
  print_wrapped(2, "\nstages\n  {}\n  smallest part one rank can update: {}\n", describe(named_recipe(name)),
                name_of(named_recipe(name).atom()));
  print_wrapped(2, "\npaper and code\n");
  print_indented(info.deviations);
  print_indented(checked_text(info).c_str());
  if (info.paper) print_wrapped(2, "  \"variant\": \"paper\" sets {}\n", try_parse_json(info.paper).dump());
  print_wrapped(2, "\nresolved config\n{}\n", to_json(resolved(name, "code")).dump(1));
}

}  // namespace

void add_optimizers(CommandLine& command) {
  auto name = std::make_shared<std::string>();
  command.add("name", *name, "recipe");
  command.set_action([name] {
    if (name->empty())
      list();
    else if (*name == "recipe")
      show_switches();
    else
      show(*name);
  });
}

}  // namespace rowan
