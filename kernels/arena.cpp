#include "kernels/arena.h"

namespace rowan {

Arena::~Arena() {
  for (void* block : blocks_) backend_.release(block);
}

Tensor Arena::take(DType dtype, std::initializer_list<int64_t> shape) {
  static char shape_only;
  Tensor tensor(&shape_only, dtype, shape);
  if (tensor.numel() == 0) return Tensor();
  tensor.data = backend_.allocate(tensor.bytes(), category_);
  blocks_.push_back(tensor.data);
  bytes_ += tensor.bytes();
  return tensor;
}

}  // namespace rowan
