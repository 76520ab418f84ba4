// The fraction of causal attention that remains in packed rows if attention stays within documents.
#pragma once

#include <optional>

#include "data/batch_source.h"
#include "data/data_config.h"

namespace rowan {

// Causal attention over n tokens takes n (n + 1) / 2 scores. Returns the number of scores within documents in the
// first rows of a run (at most 256 rows), divided by the number of scores in the whole rows. Returns 1 without
// `documents`, because attention then spans the row.
double attended_share(const BatchSource& batches, const std::optional<DocumentConfig>& documents);

}  // namespace rowan
