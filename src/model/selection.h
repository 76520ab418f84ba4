// Selects parameters by a config entry {"roles": [...], "names": [...]}. The names are fnmatch(3) patterns.
#pragma once

#include "base/json_fwd.h"
#include "model/parameters.h"

namespace rowan {

struct Selection {
  std::vector<Role> roles;         // empty: every role
  std::vector<std::string> names;  // patterns; empty: every name

  bool takes(const Parameter& parameter) const;
};

// Reads "roles" and "names", of which at least one must be given. `what` names the entry in messages, such as "a
// group". Throws Error naming the field.
Selection parse_selection(JsonObject& object, const char* what);

}  // namespace rowan
