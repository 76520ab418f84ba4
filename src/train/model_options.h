// The model options that follow from a config.
#pragma once

#include <cstdint>

#include "model/model.h"

namespace rowan {

struct TrainConfig;

// The options of the model on each of `ranks` ranks. `end_token` is the token between documents; -1 if no data is open.
ModelOptions model_options(const TrainConfig& config, int ranks, int32_t end_token = -1);

}  // namespace rowan
