// Gathers whole tensors from the parts that ranks hold, for checkpoints. Each tensor is returned on exactly one rank,
// which writes it. All ranks can therefore write at the same time, and any number of ranks can read the checkpoint.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/tensor.h"

namespace rowan {

class Backend;
class Communicator;

// Elements [begin, begin + part.numel()) of the tensor `name`. `shape` is that of the whole tensor.
struct TensorPart {
  std::string name;
  std::vector<int64_t> shape;
  int64_t begin = 0;
  Tensor part;
};

struct WholeTensor {
  std::string name;
  std::vector<int64_t> shape;
  DType dtype = DType::f32;
  // Exactly one of the two is set: the tensor in the backend's memory, or its bytes in host memory.
  Tensor tensor;
  std::vector<std::byte> bytes;
};

// All ranks call this function, each with all the parts that it holds. The results of all ranks together contain each
// tensor once. If several ranks hold a tensor, whole or in parts, one of them returns it, chosen round-robin. Throws
// std::logic_error if the parts of a tensor do not have as many elements as the tensor.
std::vector<WholeTensor> gather_tensors(Communicator& communicator, Backend& backend,
                                        const std::vector<TensorPart>& mine);

}  // namespace rowan
