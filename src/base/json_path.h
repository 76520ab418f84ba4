// Dotted paths into a JSON value, and the paths at which two values differ.
#pragma once

#include <string>

#include "base/json_fwd.h"

namespace rowan {

// The value at a path such as "run.steps" or "optimizer.groups.0.lr"; nullptr if it is absent.
const Json* value_at(const Json& root, const std::string& path);

// Converts a JSON pointer to a dotted path: "/optimizer/groups/0/lr" to "optimizer.groups.0.lr".
std::string dotted_path(std::string pointer);

// {PATH: {"from": ..., "to": ...}} for each difference; null stands for no value. PATH is a JSON pointer. The PATH of
// an element appended to a list ends with the element's index in `after`.
Json changes_of(const Json& before, const Json& after);

}  // namespace rowan
