#include "train/micro_batch.h"

#include "base/error.h"
#include "train/config.h"

namespace rowan {

int64_t micro_batch(const BatchConfig& batch, int ranks) {
  if (batch.sequences % ranks)
    fail("batch: found {} ranks, expected a divisor of {}, the sequences of a step", ranks, batch.sequences);
  const int64_t share = batch.sequences / ranks;
  if (batch.micro_batch == 0) return share;
  if (share % batch.micro_batch)
    fail("batch: found {1} of {2} sequences for each of {0} ranks, expected a multiple of micro_batch {3}", ranks,
         share, batch.sequences, batch.micro_batch);
  return batch.micro_batch;
}

int64_t micro_steps(const BatchConfig& batch, int ranks) {
  return batch.sequences / (ranks * micro_batch(batch, ranks));
}

}  // namespace rowan
