// The model options that follow from a config.
#pragma once

#include <cstdint>

#include "model/model.h"

namespace rowan {

struct TrainConfig;

// The options of each rank's model when `ranks` ranks train it. `end_token` separates documents; -1 if no data is open.
ModelOptions model_options(const TrainConfig& config, int ranks, int32_t end_token = -1);

}  // namespace rowan
