// Dotted paths into a JSON value, as --set has them.
#pragma once

#include <string>

#include "base/json.h"

namespace rowan {

// The value at "run.steps" or "optimizer.groups.0.lr"; null pointer when it is not there.
const Json* value_at(const Json& root, const std::string& path);

}  // namespace rowan
