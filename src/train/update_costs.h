// The cost of each parameter's update, from which owners are chosen (sharding/ownership.h).
#pragma once

#include <vector>

#include "model/parameters.h"
#include "optim/config.h"
#include "sharding/ownership.h"
#include "train/config.h"

namespace rowan {

// One cost per parameter, counted by running the optimizer on the dry backend with the dtypes of `precision`.
std::vector<UpdateCost> update_costs(const OptimizerConfig& optimizer, const ParameterTable& table,
                                     TrainPrecision precision);

}  // namespace rowan
