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
// The model_type and function_keys() of `model` are compared with those of the folder's config.json, or of the run's
// config for a checkpoint. They are not compared if there is no such config, or if `init` is a file. Throws Error if
// the weights are missing or a setting differs.
std::filesystem::path find_initial_weights(const std::string& init, const ModelConfig& model,
                                           const std::function<void(const std::string&)>& warn);

}  // namespace rowan
