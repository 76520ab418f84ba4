// The matrix products of a model's linear layers and head alone, measured beside a training step.
#pragma once

#include <vector>

#include "base/tensor.h"
#include "kernels/arena.h"

namespace rowan {

class Backend;
struct ModelConfig;
struct ModelOptions;

// Allocates and fills the operands once. Later measurements neither allocate nor upload, because released memory would
// make a GPU forget the graphs that it has recorded of the training step.
class ModelProducts {
 public:
  ModelProducts(Backend& backend, const ModelConfig& config, const ModelOptions& options);

  // FLOP/s of the products of one training step: forward, input gradient and weight gradient. The head is computed in
  // chunks with the same number of rows as in training.
  double measure();

 private:
  struct Layer {
    Tensor x, y, dx, w, dw;
    double times;  // per training step
  };
  Backend& backend_;
  Arena arena_;
  std::vector<Layer> layers_;
};

}  // namespace rowan
