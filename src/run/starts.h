// Reads RUN/starts.jsonl, which has a record of each start of a run, and lists the changes of config between starts.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "run/metrics.h"

namespace rowan {

// The records in RUN/starts.jsonl, oldest first. Lines that are not a JSON object are left out; one note says so.
std::vector<Json> read_starts(const std::filesystem::path& run_dir, const Note& note);

// The config file that the newest start was given, as a path relative to the working directory of that start; "" if no
// record names one.
std::string config_file_of(const std::vector<Json>& starts);

// The config of the newest start, resolved; nothing if its record lacks it, as those of earlier versions do when they
// have changes.
std::optional<Json> last_config(const std::vector<Json>& starts);

// The changes that later starts made to settings of optimizer, schedule, batch, data, evaluation and so on. A change is
// a text such as "optimizer.lr 0.01, from step 400 on 0.02". A start overrides the values of earlier starts from its
// step on.
std::vector<std::string> changes_on_the_way(const std::vector<Json>& starts);

}  // namespace rowan
