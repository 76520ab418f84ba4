// A training run, from its start or its newest checkpoint to its end.
#pragma once

#include "train/config.h"
#include "train/start.h"

namespace rowan {

// The exit code of a run that saved and stopped because run.max_seconds had passed; timeout(1) uses the same.
constexpr int out_of_time = 124;

// Continues a run directory that holds checkpoints if its config is the same. A different config is refused unless
// `options` allow it.
// Returns 0 if the run is complete. If it was stopped before, all ranks return the same code: 128 + the signal, or
// out_of_time. Throws Error, or AgreedError on every rank.
int train(const TrainConfig& config, Backend& backend, Communicator& communicator, const StartOptions& options);

}  // namespace rowan
