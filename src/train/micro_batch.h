// How a step's batch is divided among ranks and micro-steps.
#pragma once

#include <cstdint>

namespace rowan {

struct BatchConfig;

// The number of sequences that a rank processes at once. Throws Error when the batch cannot be divided evenly.
int64_t micro_batch(const BatchConfig& batch, int ranks);
// The number of micro-batches that a rank processes in a step. Throws Error as micro_batch() does.
int64_t micro_steps(const BatchConfig& batch, int ranks);

}  // namespace rowan
