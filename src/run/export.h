// Exports a trained model as a directory that Hugging Face transformers can load.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/safetensors.h"
#include "model/config.h"
#include "tokenizer/tokenizer.h"

namespace rowan {

class RunFolder;

// The key that marks an export in the metadata of model.safetensors.
inline constexpr char export_mark[] = "exporter";

// Maps file names to the contents of text files.
using ExportFiles = std::map<std::string, std::string>;

// Writes config.json, generation_config.json, model.safetensors and the files of `beside` into `folder`, called FOLDER
// here.
// If FOLDER does not exist or may be replaced as a whole (is_replaceable() in export.cpp), the files are written to
// FOLDER.part, which then replaces FOLDER. Otherwise the new files are first written under .part names in FOLDER. Then
// config.json is removed, the new files replace the old ones, and config.json is put in place last.
// transformers' GPT-2 stores c_attn, c_proj and c_fc as [in, out] and has all biases. So for GPT-2 these weights are
// transposed, separate q, k and v weights are joined, and absent biases are written as 0. ModelWeights
// (model/weights.h) reverses these changes when it reads an export.
// `dtype` is the dtype of the written weights. `tokenizer` provides the id of the end token; it may be null.
// `tokenizer_hash` is that of the training data; 0: unknown. tokenizer_of_weights() reads it from the export. Throws
// Error if transformers lacks a feature of the model (hugging_face_config()), if the folder is of another kind
// (base/file_kind.h) or holds a model that Rowan did not export, or if another process exports into the folder.
void export_model(const ModelConfig& config, const TensorFiles& files, DType dtype, const Tokenizer* tokenizer,
                  const std::filesystem::path& folder, const ExportFiles& beside = {}, uint64_t tokenizer_hash = 0);

// Returns tokenizer.json and tokenizer_config.json. With them, transformers encodes text as `tokenizer` does, without
// adding tokens around the text. Text that spells a special token is an exception. `longest` is the model's number of
// positions. Throws Error if the format of tokenizer.json cannot express the tokenizer.
ExportFiles tokenizer_files(const Tokenizer& tokenizer, int64_t longest);

// Returns README.md, the model card, which describes the model, its training and its use. Returns nothing if `folder`
// holds a README.md that Rowan did not write.
ExportFiles model_card(const RunFolder& run, const std::filesystem::path& folder);
// Whether `folder` holds a README.md that model_card() made.
bool has_own_card(const std::filesystem::path& folder);

}  // namespace rowan
