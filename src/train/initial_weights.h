// The weights that a new run starts from if its config has `init`.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "model/config.h"

namespace rowan {

// Returns the file of weights that `init` names. `init` is one of:
// - a .safetensors file, or the .safetensors.index.json of several such files;
// - a folder with model.safetensors or its index: a Hugging Face model, or a checkpoint of Rowan, whose checksums are
//   verified;
// - a run of Rowan, whose newest undamaged checkpoint is used;
// - RUN@STEP or RUN@best, which selects another checkpoint of the run.
// The config.json beside a folder's weights, or the run's config, must describe a model that computes the same function
// as `model`. This check includes settings that shapes do not show, such as the number of heads, norm epsilon and RoPE.
// Throws Error if a file is missing or a setting differs. Does not read tensors.
std::filesystem::path find_initial_weights(const std::string& init, const ModelConfig& model,
                                           const std::function<void(const std::string&)>& warn);

}  // namespace rowan
