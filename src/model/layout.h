// The parameters of a ModelConfig: names, shapes, roles, blocks, initial distributions.
#pragma once

#include "model/config.h"
#include "model/initialization.h"
#include "model/parameters.h"

namespace rowan {

// The names of a layer's parameters (LayerNames) and of a model's parameters (ParameterNames), without ".weight" and
// ".bias". The matrices named in `qkv` are adjacent in memory and multiplied as one matrix, and so are the matrices
// named in `up`.
struct LayerNames {
  std::string norm1, query_norm, key_norm, out, norm2, down;
  std::vector<std::string> qkv, up;
};
struct ParameterNames {
  std::string tokens, positions, embedding_norm, norm, head;
  std::string layers;  // in_layer() returns "<layers>.<layer>.<name>"
  LayerNames layer;

  std::string in_layer(int64_t layer, const std::string& name) const;
};
ParameterNames names_of(const ModelConfig& config);

// All parameters in the order of the forward pass: embeddings, layers, final norm, head. Throws Error if an
// initialization rule applies to no parameter, or if a rule with a gain matches a parameter outside linear layers.
ParameterTable parameter_table(const ModelConfig& config);

}  // namespace rowan
