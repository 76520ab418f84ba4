// A training run from start, or from its newest checkpoint, to end.
#pragma once

#include "train/config.h"
#include "train/start.h"

namespace rowan {

// The exit code of a run that saved and left because run.max_seconds were over: that of timeout(1).
constexpr int out_of_time = 124;

// A run directory that already holds checkpoints is continued when its config is this one, and refused otherwise,
// unless `options` say so. Returns 0 when the run is done, and on every rank the same code when it saved and left
// before: 128 + the signal, or out_of_time. Throws Error, or AgreedError on every rank.
int train(const TrainConfig& config, Backend& backend, Communicator& communicator, const StartOptions& options);

}  // namespace rowan
