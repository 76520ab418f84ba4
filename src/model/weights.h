// Reads a model's weights from files: Rowan's checkpoints, and files published for transformers.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/safetensors.h"
#include "model/config.h"
#include "model/parameters.h"

namespace rowan {

class Model;

// Whether Hugging Face transformers stores this parameter as [in, out]. It does so for the matrices of GPT-2's layers
// (Conv1D).
bool is_conv1d(const ModelConfig& config, const Parameter& parameter);

// The transpose of a row-major matrix [rows, cols].
std::vector<float> transposed(const std::vector<float>& values, int64_t rows, int64_t cols);

// Reads the parameters of a model from safetensors files. These variants are accepted:
// - names with or without the prefix `transformer.` (GPT-2) or `model.` (LLaMA);
// - GPT-2's matrices as [out, in] (Rowan, nanoGPT) or [in, out] (transformers). The shape of c_attn, which holds q, k
//   and v and is never square, shows which of the two is stored. Files with split q, k and v are Rowan's and have
//   [out, in];
// - c_attn whole or split into q, k and v, in the files and in the model;
// - a separate head for a model whose head is tied to the embedding, if the two have equal values, or the head alone;
// - GPT-2 files without biases for a model with biases, which are then 0;
// - GPT-2 files whose biases are all 0 for a model without biases;
// - buffers that older versions of transformers saved (causal masks, RoPE frequencies). They are skipped.
class ModelWeights {
 public:
  // `files` must outlive this object. Throws Error naming file and tensor if `files` does not hold this model.
  ModelWeights(const ModelConfig& config, const TensorFiles& files);

  // The values of a parameter, in the parameter's shape. The stored dtype may be F32, BF16, F16 or F64.
  std::vector<float> read(const Parameter& parameter) const;

 private:
  void check(const ModelConfig& config, const ModelConfig& stored) const;
  std::vector<float> stored_values(const std::string& name, bool matrix) const;

  const TensorFiles& files_;
  std::map<std::string, std::string> names_;  // names in the files, by parameter name
  bool conv1d_ = false, bias_ = false;        // conv1d_: matrices are stored as [in, out]; bias_: the files have biases
};

// Sets every parameter of the model. Throws Error naming file and tensor when `files` holds another model.
void load_weights(Model& model, const TensorFiles& files);

}  // namespace rowan
