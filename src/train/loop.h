// A training run from start, or from its newest checkpoint, to end.
#pragma once

#include "train/config.h"

namespace rowan {

// `resume`: a checkpoint must be there. Without it a run directory that already holds checkpoints is continued when its
// config is this one, and refused otherwise. Throws Error, or AgreedError on every rank.
void train(const TrainConfig& config, Backend& backend, Communicator& communicator, bool resume);

}  // namespace rowan
