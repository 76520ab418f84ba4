// The fraction of causal attention that remains in packed rows if it stays within documents.
#pragma once

#include <optional>

#include "data/batch_source.h"
#include "data/data_config.h"

namespace rowan {

// The fraction over at most the first 256 rows of a run: the sum of n (n + 1) / 2 over their documents of n tokens,
// divided by the same sum over whole rows. 1 if attention spans the row.
double attended_share(const BatchSource& batches, const std::optional<DocumentConfig>& documents);

}  // namespace rowan
