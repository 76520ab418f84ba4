// Where the weights of a fresh run come from when its config has `init`.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "model/config.h"

namespace rowan {

// The file of weights that `init` means: a .safetensors file or the .safetensors.index.json of several; a folder that
// holds model.safetensors or its index (Hugging Face's, or a checkpoint of Rowan, whose checksums are compared); or a
// run of Rowan, whose newest undamaged checkpoint it is. The config.json beside a folder's weights, or that of the run,
// must not make another function of weights of the same shapes: the number of heads, the norm's epsilon, RoPE. Throws
// Error for what is not there or does not fit; tensors are not looked at.
std::filesystem::path find_initial_weights(const std::string& init, const ModelConfig& model,
                                           const std::function<void(const std::string&)>& warn);

}  // namespace rowan
