#include "model/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "model/layout.h"
#include "model/model.h"

namespace rowan {
namespace {

const std::string joined = ".c_attn.", parts[] = {".q_attn.", ".k_attn.", ".v_attn."};

bool is_buffer(const std::string& name) {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias") || name.ends_with("rotary_emb.inv_freq");
}

// `name` with `part` replaced by `other`; "" if `name` does not contain `part`.
std::string exchanged(std::string name, const std::string& part, const std::string& other) {
  const size_t at = name.find(part);
  return at == std::string::npos ? "" : name.replace(at, part.size(), other);
}

}  // namespace

bool is_conv1d(const ModelConfig& config, const Parameter& parameter) {
  return config.family == Family::gpt2 && parameter.role == Role::matrix;
}

std::vector<float> transposed(const std::vector<float>& values, int64_t rows, int64_t cols) {
  std::vector<float> result(values.size());
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j) result[j * rows + i] = values[i * cols + j];
  return result;
}

ModelWeights::ModelWeights(const ModelConfig& config, const TensorFiles& files) : files_(files) {
  const std::string prefix = config.family == Family::gpt2 ? "transformer." : "model.", head = "lm_head.";
  for (const std::string& name : files.names()) {
    if (is_buffer(name)) continue;
    const std::string own = name.starts_with(head) || name.starts_with(prefix) ? name : prefix + name;
    if (!names_.emplace(own, name).second)
      fail("{}: found both '{}' and '{}', expected one of them", files.file_of(name).string(), names_[own], name);
    bias_ = bias_ || name.ends_with(".bias");
  }
  // safetensors' save_model() stores tied tensors once, under the name that is first in the alphabet: the head's.
  const std::string embedding = prefix + (config.family == Family::gpt2 ? "wte.weight" : "embed_tokens.weight");
  if (config.tied && !names_.contains(embedding))
    if (auto tied = names_.extract(head + "weight")) {
      tied.key() = embedding;
      names_.insert(std::move(tied));
    }
  ModelConfig stored = config;
  stored.initialization.clear();
  stored.tied = config.tied && !names_.contains(head + "weight");
  if (config.family == Family::gpt2) {
    stored.norm_bias = stored.attention_bias = stored.mlp_bias = bias_;
    const std::string attention = "transformer.h.0.attn";
    stored.split_qkv = names_.contains(attention + parts[0] + "weight");
    if (const auto found = names_.find(attention + joined + "weight"); found != names_.end())
      conv1d_ = files.find(found->second).shape == std::vector{config.hidden, 3 * config.hidden};
  }
  check(config, stored);
}

// `stored` is `config`, but with biases, a head and a c_attn (whole or split) as in the files.
void ModelWeights::check(const ModelConfig& config, const ModelConfig& stored) const {
  std::map<std::string, std::string> unknown = names_;
  const ParameterTable table = parameter_table(stored);
  for (const Parameter& parameter : table.parameters()) {
    std::vector<int64_t> shape = parameter.shape;
    if (conv1d_ && is_conv1d(config, parameter)) std::swap(shape[0], shape[1]);
    const auto found = names_.find(parameter.name);
    if (found == names_.end())
      fail("{}: found no tensor '{}', expected one of shape [{}]: weights of another model", files_.path().string(),
           parameter.name, fmt::join(shape, ", "));
    const StoredTensor& tensor = files_.find(found->second);
    const std::string file = files_.file_of(tensor.name).string();
    if (tensor.shape != shape)
      fail("{}: tensor '{}': found {}, expected [{}]: weights of another model", file, tensor.name, tensor.describe(),
           fmt::join(shape, ", "));
    unknown.erase(parameter.name);
    if (parameter.role == Role::bias && config.family == Family::gpt2 && !config.norm_bias) {
      const std::vector<float> values = stored_values(parameter.name, false);
      if (std::any_of(values.begin(), values.end(), [](float x) { return x != 0; }))
        fail("{}: tensor '{}': found values other than 0, but this model has no biases", file, tensor.name);
    }
    if (parameter.role == Role::head && config.tied &&
        stored_values(parameter.name, false) != stored_values(table.parameters()[0].name, false))
      fail("{}: tensor '{}': found other values than in '{}', but this model ties the two", file, tensor.name,
           names_.at(table.parameters()[0].name));
  }
  for (const auto& [own, name] : unknown) {
    const StoredTensor& tensor = files_.find(name);
    fail("{}: found tensor '{}', {}, which this model lacks: weights of another model", files_.file_of(name).string(),
         name, tensor.describe());
  }
}

std::vector<float> ModelWeights::read(const Parameter& parameter) const {
  const bool matrix = parameter.role == Role::matrix;
  if (names_.contains(parameter.name)) return stored_values(parameter.name, matrix);
  if (parameter.role == Role::bias && !bias_) return std::vector<float>(static_cast<size_t>(parameter.numel()));
  std::vector<float> values;
  for (int64_t i = 0; i < 3; ++i) {
    if (const std::string part = exchanged(parameter.name, joined, parts[i]); !part.empty()) {
      const std::vector<float> rows = stored_values(part, matrix);
      values.insert(values.end(), rows.begin(), rows.end());
    } else if (const std::string whole = exchanged(parameter.name, parts[i], joined); !whole.empty()) {
      const std::vector<float> rows = stored_values(whole, matrix);
      values.assign(rows.begin() + i * parameter.numel(), rows.begin() + (i + 1) * parameter.numel());
    }
  }
  return values;
}

std::vector<float> ModelWeights::stored_values(const std::string& name, bool matrix) const {
  const StoredTensor& tensor = files_.find(names_.at(name));
  try {
    std::vector<float> values = read_floats(tensor);
    return matrix && conv1d_ ? transposed(values, tensor.shape[0], tensor.shape[1]) : values;
  } catch (const Error& error) {
    fail("{}: {}", files_.file_of(tensor.name).string(), error.what());
  }
}

void load_weights(Model& model, const TensorFiles& files) {
  const ModelWeights weights(model.config(), files);
  for (const Parameter& parameter : model.parameters().parameters())
    model.set(parameter, weights.read(parameter).data());
}

}  // namespace rowan
