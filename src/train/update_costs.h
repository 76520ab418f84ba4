// What updating each parameter takes.
#pragma once

#include <vector>

#include "model/parameters.h"
#include "optim/config.h"
#include "sharding/ownership.h"

namespace rowan {

// One a parameter, for the ownership plan: its optimizer's step is run on the dry backend. `masters`: weights are bf16
// with fp32 copies.
std::vector<UpdateCost> update_costs(const OptimizerConfig& optimizer, const ParameterTable& table, bool masters);

}  // namespace rowan
