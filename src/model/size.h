// The size of a model by the numbers of its config, before anything of that size is allocated.
#pragma once

#include <cstdint>

#include "model/config.h"

namespace rowan {

// The number of weights in embeddings and matrices. As a double, because no config overflows it.
double weight_count(const ModelConfig& config);

// The config key that matters most for the size: the model is smallest with this one set to 1.
struct SizeKey {
  const char* name;  // its name in this kind of config
  int64_t value;
};
SizeKey largest_key(const ModelConfig& config);

}  // namespace rowan
