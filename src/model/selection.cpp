#include "model/selection.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>

#include "base/json.h"
#include "base/names.h"

namespace rowan {

bool Selection::takes(const Parameter& parameter) const {
  const bool role = roles.empty() || std::find(roles.begin(), roles.end(), parameter.role) != roles.end();
  const bool name = names.empty() || std::any_of(names.begin(), names.end(), [&](const std::string& pattern) {
                      return fnmatch(pattern.c_str(), parameter.name.c_str(), 0) == 0;
                    });
  return role && name;
}

Selection parse_selection(JsonObject& object, const char* what) {
  Selection selection;
  std::vector<std::string> role_names;
  for (int role = 0; role < role_count; ++role) role_names.push_back(name_of(static_cast<Role>(role)));
  for (const std::string& name : object.strings("roles", std::vector<std::string>{})) {
    auto at = std::find(role_names.begin(), role_names.end(), name);
    if (at == role_names.end())
      object.fail("roles", fmt::format("found '{}', expected one of {}{}", name, join(role_names),
                                       did_you_mean(name, role_names)));
    selection.roles.push_back(static_cast<Role>(at - role_names.begin()));
  }
  selection.names = object.strings("names", std::vector<std::string>{});
  if (selection.roles.empty() && selection.names.empty())
    object.fail(
        "names",
        fmt::format("found neither roles nor names, expected one or both to select the parameters of {}", what));
  return selection;
}

}  // namespace rowan
