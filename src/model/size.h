// How large the numbers of a config make a model, before anything of that size is made.
#pragma once

#include <cstdint>

#include "model/config.h"

namespace rowan {

// Weights of embeddings and matrices. A double: no config overflows it.
double weight_count(const ModelConfig& config);

// The number that a model's size is owed to most: the one whose replacement by 1 makes it smallest.
struct SizeKey {
  const char* name;  // as its config calls it
  int64_t value;
};
SizeKey largest_key(const ModelConfig& config);

}  // namespace rowan
