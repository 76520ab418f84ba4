// Whole tensors from the parts that ranks hold, for checkpoints: each comes together on exactly one rank, which writes
// it, so that all ranks write at the same time and any number of them can read the result.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace rowan {

// Elements [begin, begin + part.numel()) of the tensor `name`, whose whole shape is given.
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
  // One of them is set: the tensor in the backend's memory, or its bytes put together on the host.
  Tensor tensor;
  std::vector<std::byte> bytes;
};

// Every rank calls with all its parts; the results of all ranks together hold each tensor once. Tensors that several
// ranks hold are dealt out in turn. Parts that leave gaps throw std::logic_error.
std::vector<WholeTensor> gather_tensors(Communicator& communicator, Backend& backend,
                                        const std::vector<TensorPart>& mine);

}  // namespace rowan
