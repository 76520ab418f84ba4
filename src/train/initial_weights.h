// The weights that a new run starts from if its config has `init`.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "model/config.h"

namespace rowan {

// Returns the file of weights that `init` names. `init` is one of:
// - a .safetensors file, or the .safetensors.index.json of several;
// - a folder with model.safetensors or its index, from Hugging Face or a checkpoint of Rowan, whose checksums are then
//   verified;
// - a run of Rowan, whose newest undamaged checkpoint is used.
// The config.json beside a folder's weights, or the run's config, must define the same function as this run's model. It
// is compared in what shapes do not show: number of heads, norm epsilon, RoPE. Throws Error if something is missing or
// does not match. Does not read tensors.
std::filesystem::path find_initial_weights(const std::string& init, const ModelConfig& model,
                                           const std::function<void(const std::string&)>& warn);

}  // namespace rowan
