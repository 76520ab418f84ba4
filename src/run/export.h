// A trained model as a directory that Hugging Face transformers opens.
#pragma once

#include <filesystem>
#include <string>

#include "base/safetensors.h"
#include "model/config.h"
#include "tokenizer/tokenizer.h"

namespace rowan {

// Writes config.json and model.safetensors into `folder`, which is made when absent. transformers' GPT-2 keeps
// c_attn, c_proj and c_fc as [in, out] and has all biases: ours are transposed, split ones joined, absent ones 0
// (model/weights.h is the way back).
// `dtype` is that of the weights; `tokenizer` (may be null) gives the end token's id. Throws Error when transformers
// has no such model (qk_clip).
void export_model(const ModelConfig& config, const TensorFiles& files, DType dtype, const Tokenizer* tokenizer,
                  const std::filesystem::path& folder);

// Copies the vocabulary of a tokenizer under the names transformers looks for. Returns false for tokenizers it has no
// files for (bytes, .tiktoken).
bool export_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& folder);

}  // namespace rowan
