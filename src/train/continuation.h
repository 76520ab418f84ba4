// Which settings a run must keep when it continues from a checkpoint under a new config.
#pragma once

#include <string>

#include "base/json_fwd.h"

namespace rowan {

// Compares the settings that every continued run keeps: the sample order, the function that the model computes, and
// the shapes of its parameters. A checkpoint would be read as another model if one of the last two changed. Both
// configs are resolved. Returns a text such as "run.seed: 42 there, 43 here", or "" if nothing differs.
std::string fixed_difference(const Json& before, const Json& now);

// What a run with these changes (changes_of()) needs besides --resume: a text such as " if its shards are the same". It
// depends on more than the configs whether shards and optimizer states fit. "" if nothing else is needed.
std::string condition_of(const Json& changes);

// Whether `now` evaluates other data than `before`, or more or less of it. What is no longer evaluated does not count.
bool evaluates_otherwise(const Json& before, const Json& now);

// Whether validation losses under `now` cannot be compared with those under `before`. `other_text`: the validation
// shards differ; their paths in the configs may differ although the shards are the same. False if `now` has no
// validation data.
bool measures_otherwise(const Json& before, const Json& now, bool other_text);

}  // namespace rowan
