// Which group of the optimizer's config updates a parameter of the model, and what follows from it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "optim/config.h"

namespace rowan {

// Throws Error if a group of "groups" gets no parameter, if blocks do not divide a parameter, if a recipe for matrices
// alone would get a parameter that is not a matrix, or if groups leave the main recipe or a key of "adamw" nothing to
// update. `object` is the section that `config` was parsed from. The message names the field or the parameter.
void check_routing(JsonObject object, const OptimizerConfig& config, const ParameterTable& table);
// The index of the group that updates a parameter. Throws Error if the group's recipe needs a matrix and the parameter
// is not a matrix.
size_t group_of(const OptimizerConfig& config, const Parameter& parameter);
// The smallest part of a parameter that must not be divided among ranks. A matrix may still be divided between its
// blocks (block_rows_of()).
Atom atom_of(const OptimizerConfig& config, const Parameter& parameter);
// For each group that has parameters: its name, with _ instead of spaces, and its learning rate at step `step` (from
// 0), without the width factor. `pace` is the main schedule's Pace for this step.
std::vector<std::pair<std::string, double>> group_rates(const OptimizerConfig& config, const ParameterTable& table,
                                                        int64_t step, const Pace& pace);
// Rows per block, if a parameter is updated in several equal blocks of rows; else 0.
int64_t block_rows_of(const OptimizerConfig& config, const Parameter& parameter);
// One line for each group that has parameters or comes from "groups": parameters, elements, learning rate, decay,
// stages.
std::string describe_groups(const OptimizerConfig& config, const ParameterTable& table);

}  // namespace rowan
