// The weights of a model as files hold them: Rowan's checkpoints, and what is published for transformers.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/safetensors.h"
#include "model/config.h"
#include "model/parameters.h"

namespace rowan {

// Whether transformers keeps a parameter as [in, out]: its GPT-2 does so with the matrices of the layers (Conv1D).
bool is_conv1d(const ModelConfig& config, const Parameter& parameter);

// Of a row-major [rows, cols].
std::vector<float> transposed(const std::vector<float>& values, int64_t rows, int64_t cols);

// Reads the parameters of a model from safetensors files in any of the layouts there are:
// - names with or without `transformer.` (GPT-2) or `model.` (LLaMA) before them;
// - GPT-2's matrices as [out, in], as Rowan and nanoGPT have them, or [in, out]: the shape of c_attn tells, which is
//   never square, and where q, k and v are split the file is Rowan's;
// - c_attn whole or split, whichever the model has;
// - a head beside tied embeddings, when it is the same;
// - GPT-2's biases of zeros for a model without any, or none at all for one that has some: they are zeros then;
// - buffers that older versions of transformers saved (causal masks, RoPE frequencies), which are passed over.
class ModelWeights {
 public:
  // `files` must outlive this. Throws Error naming file and tensor, with both shapes, unless `files` holds exactly this
  // model.
  ModelWeights(const ModelConfig& config, const TensorFiles& files);

  // The values of a parameter of the model, in its own shape, from F32, BF16, F16 or F64.
  std::vector<float> read(const Parameter& parameter) const;

 private:
  void check(const ModelConfig& config, const ModelConfig& stored) const;
  std::vector<float> stored_values(const std::string& name, bool matrix) const;

  const TensorFiles& files_;
  std::map<std::string, std::string> names_;  // in the files, by the parameter's
  bool conv1d_ = false, bias_ = false;        // of the files
};

}  // namespace rowan
