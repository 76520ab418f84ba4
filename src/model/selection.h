// Selects parameters by an entry of a config list: "roles": [...], "names": [patterns with * and ?].
#pragma once

#include "base/json_fwd.h"
#include "model/parameters.h"

namespace rowan {

struct Selection {
  std::vector<Role> roles;         // empty: every role
  std::vector<std::string> names;  // patterns; empty: every name

  bool takes(const Parameter& parameter) const;
};

// Reads "roles" and "names"; at least one must be given. `what` names the entry in messages: "a group". Throws Error
// naming the field.
Selection parse_selection(JsonObject& object, const char* what);

}  // namespace rowan
