// How much of causal attention is left in packed rows when it stays within documents.
#pragma once

#include <optional>

#include "data/batch_source.h"
#include "data/data_config.h"

namespace rowan {

// Over the documents in a run's first rows, 256 at most: the sum of n (n + 1) / 2, n being the tokens of each, over the
// same sum of whole rows. 1 where attention runs through the row.
double attended_share(const BatchSource& batches, const std::optional<DocumentConfig>& documents);

}  // namespace rowan
