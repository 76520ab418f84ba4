// The cost of each parameter's update, from which owners are chosen (sharding/ownership.h).
#pragma once

#include <vector>

#include "model/parameters.h"
#include "optim/config.h"
#include "sharding/ownership.h"

namespace rowan {

// One cost per parameter, counted by running the optimizer on the dry backend. `masters`: weights are bf16 with fp32
// masters.
std::vector<UpdateCost> update_costs(const OptimizerConfig& optimizer, const ParameterTable& table, bool masters);

}  // namespace rowan
