#include "run/export.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "base/console.h"
#include "base/error.h"
#include "base/files.h"
#include "base/folder_lock.h"
#include "base/json.h"
#include "model/layout.h"
#include "model/weights.h"

namespace rowan {

namespace fs = std::filesystem;

namespace {

// Files that an older export may have left, and that would be taken for part of this one.
const char* const tokenizer_names[] = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json",         "merges.txt",
    "spiece.model",   "tokenizer.model",       "added_tokens.json",       "chat_template.jinja"};

}  // namespace

void export_model(const ModelConfig& config, const TensorFiles& files, DType dtype, const Tokenizer* tokenizer,
                  const fs::path& folder, const ExportFiles& beside) {
  Json json = hugging_face_config(config);
  ModelConfig theirs = config;
  theirs.initialization.clear();
  if (config.family == Family::gpt2) {
    theirs.norm_bias = theirs.attention_bias = theirs.mlp_bias = true;
    theirs.split_qkv = false;
  }
  const ModelWeights weights(theirs, files);

  json["torch_dtype"] = dtype == DType::bf16 ? "bfloat16" : "float32";
  if (tokenizer) json["bos_token_id"] = json["eos_token_id"] = tokenizer->end_id();
  ExportFiles texts = beside;
  texts["config.json"] = json.dump(2) + "\n";
  Json generation = {{"do_sample", true}};
  if (tokenizer)
    for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) generation[key] = tokenizer->end_id();
  texts["generation_config.json"] = generation.dump(2) + "\n";
  for (const char* name : {"checkpoints", "state.json"})
    if (fs::exists(folder / name))
      fail("{}: has {}: a run or a checkpoint, which an export would overwrite; choose another folder", folder.string(),
           name);
  make_directories(folder);
  const FolderLock lock(folder, "exports into it", [](const std::string& text) { tell("rowan: {}\n", text); });

  const ParameterTable table = parameter_table(theirs);
  std::vector<TensorInfo> declared;
  for (const Parameter& parameter : table.parameters()) {
    declared.push_back({parameter.name, safetensors_dtype(dtype), parameter.shape});
    if (is_conv1d(config, parameter)) std::swap(declared.back().shape[0], declared.back().shape[1]);
  }
  SafeTensorsWriter writer(folder / "model.safetensors", declared, {{"format", "pt"}});
  for (const Parameter& parameter : table.parameters()) {
    std::vector<float> values = weights.read(parameter);
    if (is_conv1d(config, parameter)) values = transposed(values, parameter.rows(), parameter.cols());
    if (dtype == DType::f32) {
      writer.write(parameter.name, values.data());
    } else {
      std::vector<bf16> rounded(values.size());
      std::transform(values.begin(), values.end(), rounded.begin(), to_bf16);
      writer.write(parameter.name, rounded.data());
    }
  }
  std::map<std::string, std::unique_ptr<AtomicFile>> parts;
  for (const auto& [name, content] : texts) {
    parts[name] = std::make_unique<AtomicFile>(folder / name);
    parts[name]->write(content);
    parts[name]->sync();
  }
  // config.json is removed first and returns last: a kill between leaves no mixture of two exports that opens.
  fs::remove(folder / "config.json");
  writer.commit();
  for (const auto& [name, part] : parts)
    if (name != "config.json") part->commit();
  parts.at("config.json")->commit();
  for (const char* name : tokenizer_names)
    if (!texts.contains(name)) fs::remove(folder / name);
}

}  // namespace rowan
