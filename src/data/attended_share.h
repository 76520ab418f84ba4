// The fraction of causal attention that remains in packed rows if attention stays within documents.
#pragma once

#include <optional>

#include "data/batch_source.h"
#include "data/data_config.h"

namespace rowan {

// Measures at most the first 256 rows of a run: the sum of n (n + 1) / 2 over their documents of n tokens, divided by
// the same sum over whole rows. Returns 1 without `documents`, because attention then spans the row.
double attended_share(const BatchSource& batches, const std::optional<DocumentConfig>& documents);

}  // namespace rowan
