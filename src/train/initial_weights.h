// The weights that a new run starts from if its config has `init`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/safetensors.h"
#include "model/config.h"

namespace rowan {

class Communicator;

// Returns the file of weights that `init` names. `init` is one of:
// - a .safetensors file, or the .safetensors.index.json of several such files;
// - a folder with model.safetensors or model.safetensors.index.json: a Hugging Face model, or a checkpoint of Rowan,
//   whose checksums are verified;
// - a run of Rowan, whose newest undamaged checkpoint is used;
// - RUN@STEP or RUN@best, which selects another checkpoint of the run.
// The model_type and function_keys() of `model` must be the same as in the folder's config.json. For a checkpoint, they
// must be the same as in the config.json of its run. This is not checked if there is no such config.json, or if `init`
// is a file. If a checkpoint vanishes before its files are found, looks again. Throws Error if the weights are missing
// or a setting differs.
std::filesystem::path find_initial_weights(const std::string& init, const ModelConfig& model,
                                           const std::function<void(const std::string&)>& warn);

// Open weights. They stay readable after their files have been removed.
struct InitialWeights {
  std::filesystem::path file;
  uint64_t tokenizer;  // tokenizer_of_weights() of the file
  TensorFiles tensors;
};
// Rank 0 finds the weights that `init` names, and every rank opens them. If a run that trains removes them in between,
// rank 0 looks again. All ranks must call this. Throws AgreedError if the weights are missing or a setting differs, or
// if ranks find different weights there.
std::unique_ptr<InitialWeights> open_initial_weights(Communicator& communicator, const std::string& init,
                                                     const ModelConfig& model,
                                                     const std::function<void(const std::string&)>& warn);

}  // namespace rowan
