// Dotted paths into a JSON value, as in --set.
#pragma once

#include <string>

#include "base/json_fwd.h"

namespace rowan {

// Returns the value at "run.steps" or "optimizer.groups.0.lr"; nullptr if it is absent.
const Json* value_at(const Json& root, const std::string& path);

// "/optimizer/groups/0/lr", a JSON pointer, as "optimizer.groups.0.lr".
std::string dotted_path(std::string pointer);

}  // namespace rowan
