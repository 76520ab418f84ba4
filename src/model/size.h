// The size of a model, computed from its config before any memory is allocated.
#pragma once

#include <cstdint>

#include "model/config.h"

namespace rowan {

// The number of weights in embeddings and matrices. It is a double, because a config that is too large would overflow
// an integer.
double weight_count(const ModelConfig& config);

// The config key that contributes most to the size: setting it to 1 shrinks the model more than setting any other key
// to 1.
struct SizeKey {
  const char* name;  // name of the key in configs of the model's family
  int64_t value;
};
SizeKey largest_key(const ModelConfig& config);

}  // namespace rowan
