// Starts or continues a training run.
#pragma once

#include "train/config.h"
#include "train/start.h"

namespace rowan {

// The exit code of a run that saved and stopped because run.max_seconds had passed. timeout(1) uses the same code.
constexpr int out_of_time = 124;

// Trains until the end of the run. If the run's folder holds checkpoints, continues from the newest undamaged one,
// unless options.from selects another. Throws Error if the config has another identity_of() than the run, unless
// `options` allow a difference.
// Returns 0 at the end of the run, also if run.patience ended it. If the run was stopped, all ranks return the same
// code: 128 + the signal's number, or out_of_time. A failure that all ranks know of is an AgreedError on every rank. If
// only one rank knows of a failure, that rank throws an Error that is not an AgreedError.
int train(const TrainConfig& config, Backend& backend, Communicator& communicator, const StartOptions& options);

}  // namespace rowan
