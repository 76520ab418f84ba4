// A trained model as a directory that Hugging Face transformers opens.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/safetensors.h"
#include "model/config.h"
#include "tokenizer/tokenizer.h"

namespace rowan {

class RunFolder;

// File names and contents.
using ExportFiles = std::map<std::string, std::string>;

// Writes config.json, generation_config.json and model.safetensors into `folder`, which is created when absent, and the
// files `beside` them. All files are written in full before the first replaces an older one, so a full disk leaves an
// older export whole; afterwards an older export's tokenizer files are removed. transformers' GPT-2 stores c_attn,
// c_proj and c_fc as [in, out] and has all biases: the weights are transposed, split ones joined, absent biases are 0
// (model/weights.h reads them back).
// `dtype` is the weights' dtype; `tokenizer` (may be null) gives the end token's id. Throws Error when transformers has
// no such model, or another process exports into the folder.
void export_model(const ModelConfig& config, const TensorFiles& files, DType dtype, const Tokenizer* tokenizer,
                  const std::filesystem::path& folder, const ExportFiles& beside = {});

// tokenizer.json and tokenizer_config.json. With them transformers produces the same ids as Rowan, and adds no tokens
// around a text. `longest` is the model's number of positions.
ExportFiles tokenizer_files(const Tokenizer& tokenizer, int64_t longest);

// README.md, the model card: the model, its data, the length of the training, and how to use it.
ExportFiles model_card(const RunFolder& run, const std::filesystem::path& folder);

}  // namespace rowan
