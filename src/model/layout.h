// The parameters of a ModelConfig: names, shapes, roles, blocks, initial distributions.
#pragma once

#include "model/config.h"
#include "model/initialization.h"
#include "model/parameters.h"

namespace rowan {

// What a family calls its parameters. Matrices that lie back to back, to be multiplied as one, are a list.
struct LayerNames {
  std::string norm1, query_norm, key_norm, out, norm2, down;
  std::vector<std::string> qkv, up;
};
struct ParameterNames {
  std::string tokens, positions, embedding_norm, norm, head;
  std::string layers;  // before a layer's number, a point and its names
  LayerNames layer;

  std::string in_layer(int64_t layer, const std::string& name) const;
};
ParameterNames names_of(const ModelConfig& config);

// In the order of the forward: embeddings, layers, final norm, head. Throws Error for a rule of initialization that
// speaks of no parameter.
ParameterTable parameter_table(const ModelConfig& config);

}  // namespace rowan
