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

// Names and contents.
using ExportFiles = std::map<std::string, std::string>;

// Writes config.json, generation_config.json and model.safetensors into `folder`, which is made when absent, and the
// files `beside` them. All are written in full before the first takes the place of one that is there, so a disk that
// runs full leaves an older export whole; a tokenizer that belonged to it does not stay. transformers' GPT-2 keeps
// c_attn, c_proj and c_fc as [in, out] and has all biases: ours are transposed, split ones joined, absent ones 0
// (model/weights.h is the way back).
// `dtype` is that of the weights; `tokenizer` (may be null) gives the end token's id. Throws Error when transformers
// has no such model.
void export_model(const ModelConfig& config, const TensorFiles& files, DType dtype, const Tokenizer* tokenizer,
                  const std::filesystem::path& folder, const ExportFiles& beside = {});

// tokenizer.json and tokenizer_config.json, with which transformers gives the ids that Rowan gives: as many as the
// tokenizer has, without tokens laid around the text. `longest` is the model's number of positions.
ExportFiles tokenizer_files(const Tokenizer& tokenizer, int64_t longest);

// README.md, the model card: what was trained, on what, for how long, and how to use it.
ExportFiles model_card(const RunFolder& run, const std::filesystem::path& folder);

}  // namespace rowan
