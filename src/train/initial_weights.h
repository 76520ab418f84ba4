// The weights that a new run starts from if its config has `init`.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "model/config.h"

namespace rowan {

// Returns the file of weights that `init` names: a .safetensors file or the .safetensors.index.json of several; a
// folder with model.safetensors or its index (Hugging Face's, or a checkpoint of Rowan, whose checksums are verified);
// or a run of Rowan, whose newest undamaged checkpoint is taken. The config.json beside a folder's weights, or the
// run's, must define the same function as this run's model: the same number of heads, norm epsilon and RoPE, which the
// shapes do not show. Throws Error when something is missing or does not match. Tensors are not read here.
std::filesystem::path find_initial_weights(const std::string& init, const ModelConfig& model,
                                           const std::function<void(const std::string&)>& warn);

}  // namespace rowan
