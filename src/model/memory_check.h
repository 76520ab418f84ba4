// Whether a model fits in this machine's memory.
#pragma once

#include <string>

#include "model/model.h"

namespace rowan {

// Throws Error if a model with these options needs more memory than is available here. The message ends with `remedy`.
// GPUs are not checked, because their allocator reports when memory runs out.
void check_model_fits(const Backend& backend, const ModelConfig& config, const ModelOptions& options,
                      const std::string& remedy);

}  // namespace rowan
