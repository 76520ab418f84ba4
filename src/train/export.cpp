#include "train/export.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "model/layout.h"
#include "train/checkpoint.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

// Linear weights of GPT-2, which transformers keeps as [in, out].
bool transposed(const ModelConfig& config, const Parameter& parameter) {
  return config.family == Family::gpt2 && parameter.role == Role::matrix;
}

std::vector<float> transpose(const std::vector<float>& values, int64_t rows, int64_t cols) {
  std::vector<float> result(values.size());
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j) result[j * rows + i] = values[i * cols + j];
  return result;
}

// The values of a parameter of the exported model, in Rowan's layout.
std::vector<float> read(const TensorFiles& weights, const Parameter& parameter) {
  if (weights.has(parameter.name)) return read_floats(weights.find(parameter.name));
  const std::string fused = "attn.c_attn";
  const size_t at = parameter.name.find(fused);
  std::vector<float> values;
  if (at != std::string::npos)
    for (const char* part : {"attn.q_attn", "attn.k_attn", "attn.v_attn"}) {
      std::string name = std::string(parameter.name).replace(at, fused.size(), part);
      if (!weights.has(name)) break;
      std::vector<float> piece = read_floats(weights.find(name));
      values.insert(values.end(), piece.begin(), piece.end());
    }
  // expect_tensors() has seen everything the model has: what is not there now is a bias it goes without.
  values.resize(static_cast<size_t>(parameter.numel()));
  return values;
}

}  // namespace

void export_model(const ModelConfig& config, const TensorFiles& weights, DType dtype, const Tokenizer* tokenizer,
                  const fs::path& folder) {
  if (config.qk_clip > 0)
    fail("export: the model clamps queries and keys (qk_clip {}), transformers' GPT-2 cannot", config.qk_clip);
  std::vector<TensorInfo> wanted;
  const ParameterTable own = parameter_table(config);
  for (const Parameter& parameter : own.parameters()) wanted.push_back({parameter.name, "F32", parameter.shape});
  expect_tensors(weights, wanted, "model");

  Json json = hugging_face_config(config);
  for (const char* key : {"bias", "split_qkv", "qk_clip", "max_sequence_length", "comment"}) json.erase(key);
  json["tie_word_embeddings"] = config.tied;
  json["torch_dtype"] = dtype == DType::bf16 ? "bfloat16" : "float32";
  if (tokenizer) json["bos_token_id"] = json["eos_token_id"] = tokenizer->end_id();
  make_directories(folder);
  write_file_atomically(folder / "config.json", json.dump(2) + "\n");

  ModelConfig theirs = config;
  if (config.family == Family::gpt2) {
    theirs.bias = true;
    theirs.split_qkv = false;
  }
  const ParameterTable table = parameter_table(theirs);
  std::vector<TensorInfo> declared;
  for (const Parameter& parameter : table.parameters()) {
    declared.push_back({parameter.name, safetensors_dtype(dtype), parameter.shape});
    if (transposed(config, parameter)) std::swap(declared.back().shape[0], declared.back().shape[1]);
  }
  SafeTensorsWriter writer(folder / "model.safetensors", declared, {{"format", "pt"}});
  for (const Parameter& parameter : table.parameters()) {
    std::vector<float> values = read(weights, parameter);
    if (transposed(config, parameter)) values = transpose(values, parameter.rows(), parameter.cols());
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
