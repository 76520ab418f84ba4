// Shards that stand in more than one place: named twice, by two globs, or through links.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"

namespace rowan {

// A file, whatever its name.
using FileIdentity = std::pair<uint64_t, uint64_t>;
FileIdentity identity_of(const std::filesystem::path& path);

// One line for each pair of data sets that share shards, naming the first: two corpora of a mixture, or training and
// validation data (`validation` may be null). Somebody may want that; most do not.
std::vector<std::string> shared_shards(const std::vector<Dataset>& train, const Dataset* validation);

}  // namespace rowan
