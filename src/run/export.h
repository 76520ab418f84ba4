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

// Writes config.json, generation_config.json and model.safetensors into `folder`, and the files `beside` them. Creates
// the folder if needed.
// A folder that is new, or that holds only an older export, is written beside `folder` and then renamed to it. So it
// holds the old export or the new one at every moment. If other files lie in the folder, all files are written in full
// before the first replaces an older one, and config.json is removed first and comes back last.
// transformers' GPT-2 stores c_attn, c_proj and c_fc as [in, out] and has all biases. So weights are transposed, split
// ones joined, and absent biases written as 0 (model/weights.h reads them back).
// `dtype` is the dtype of the written weights. `tokenizer` (may be null) gives the end token's id. Throws Error if
// transformers has no such model, if the folder is of another kind (base/folder_kind.h), or if another process exports
// into it.
void export_model(const ModelConfig& config, const TensorFiles& files, DType dtype, const Tokenizer* tokenizer,
                  const std::filesystem::path& folder, const ExportFiles& beside = {});

// tokenizer.json and tokenizer_config.json. With them transformers produces the same ids as Rowan, and adds no tokens
// around a text. `longest` is the model's number of positions.
ExportFiles tokenizer_files(const Tokenizer& tokenizer, int64_t longest);

// README.md, the model card: the model, its data, the length of the training, and how to use it.
ExportFiles model_card(const RunFolder& run, const std::filesystem::path& folder);

}  // namespace rowan
