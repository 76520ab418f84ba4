// RUN/starts.jsonl: a record of every start of a run, and what it tells about how the run was trained.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/json_fwd.h"

namespace rowan {

// The records in RUN/starts.jsonl, oldest first. An incomplete record is left out.
std::vector<Json> read_starts(const std::filesystem::path& run_dir);

// The config values that a later start of the run changed and that its updates depend on, such as
// "optimizer.lr 0.01, from step 400 on 0.02". Steps that a start took back with --from do not count.
std::vector<std::string> changes_on_the_way(const std::vector<Json>& starts);

}  // namespace rowan
