// The parameters of a ModelConfig: names, shapes, roles, blocks, initial distributions.
#pragma once

#include "model/config.h"
#include "model/parameters.h"

namespace rowan {

// In the order of the forward: embeddings, layers, final norm, head.
ParameterTable parameter_table(const ModelConfig& config);

// Initial values of a parameter: a pure function of (seed, name, element). Writes elements
// [begin, begin + count) as f32.
void initial_values(const Parameter& parameter, uint64_t seed, int64_t begin, int64_t count, float* values);

}  // namespace rowan
