#include "run/export.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "model/layout.h"
#include "model/weights.h"

namespace rowan {

namespace fs = std::filesystem;

void export_model(const ModelConfig& config, const TensorFiles& files, DType dtype, const Tokenizer* tokenizer,
                  const fs::path& folder) {
  if (config.qk_clip > 0)
    fail("export: the model clamps queries and keys (qk_clip {}), transformers' GPT-2 cannot", config.qk_clip);
  ModelConfig theirs = config;
  if (config.family == Family::gpt2) {
    theirs.bias = true;
    theirs.split_qkv = false;
  }
  const ModelWeights weights(theirs, files);

  Json json = hugging_face_config(config);
  for (const char* key : {"bias", "split_qkv", "qk_clip", "max_sequence_length", "comment"}) json.erase(key);
  json["tie_word_embeddings"] = config.tied;
  json["torch_dtype"] = dtype == DType::bf16 ? "bfloat16" : "float32";
  if (tokenizer) json["bos_token_id"] = json["eos_token_id"] = tokenizer->end_id();
  make_directories(folder);
  write_file_atomically(folder / "config.json", json.dump(2) + "\n");

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
  writer.commit();
}

bool export_tokenizer(const Tokenizer& tokenizer, const fs::path& folder) {
  const std::string& spec = tokenizer.spec();
  const size_t colon = spec.find(':');
  const std::string kind = spec.substr(0, colon);
  const fs::path source = colon == std::string::npos ? fs::path() : fs::path(spec.substr(colon + 1));
  auto copy = [&](const fs::path& from, const char* to) { write_file_atomically(folder / to, read_file(from)); };
  std::string name;
  if (kind == "gpt2" && fs::is_directory(source)) {
    copy(source / "vocab.bpe", "merges.txt");
    copy(source / "encoder.json", "vocab.json");
    name = "GPT2Tokenizer";
  } else if (kind == "sentencepiece") {
    const bool t5 = tokenizer.end_id() == 1;
    copy(source, t5 ? "spiece.model" : "tokenizer.model");
    name = t5 ? "T5Tokenizer" : "LlamaTokenizer";
  } else {
    return false;
  }
  write_file_atomically(folder / "tokenizer_config.json", Json({{"tokenizer_class", name}}).dump(2) + "\n");
  return true;
}

}  // namespace rowan
