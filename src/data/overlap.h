// Finds the shards that several data sets share, and shards with the same tokens.
#pragma once

#include <string>
#include <vector>

#include "data/dataset.h"

namespace rowan {

// The data sets are the corpora of a mixture and the validation data (`validation` may be null). Returns one line for
// each pair of data sets that share shards, naming the first shared shard, and one line for each pair that holds copies
// of the same tokens; both shards may be in one data set. A copy is known by the checksum that Rowan writes into a
// shard. Shards of other programs are compared if their first bytes and their sizes are equal. A shard in three data
// sets counts only for the two pairs that contain the first of the three. Sharing is allowed, because it may be
// intended.
std::vector<std::string> shared_shards(const std::vector<Dataset>& train, const Dataset* validation);

}  // namespace rowan
