#include "kernels/arena.h"

#include "base/error.h"
#include "kernels/backend.h"

namespace rowan {

Arena::~Arena() {
  for (void* block : blocks_) backend_.release(block);
}

Tensor Arena::take(DType dtype, std::initializer_list<int64_t> shape) {
  size_t bytes = size_of(dtype);
  for (int64_t dim : shape)
    if (__builtin_mul_overflow(bytes, dim, &bytes) || bytes > PTRDIFF_MAX)
      throw OutOfMemory(fmt::format("out of memory: 2^63 bytes or more for {}", name_of(category_)));
  static char shape_only;
  Tensor tensor(&shape_only, dtype, shape);
  if (tensor.numel() == 0) return Tensor();
  tensor.data = backend_.allocate(tensor.bytes(), category_);
  blocks_.push_back(tensor.data);
  bytes_ += tensor.bytes();
  return tensor;
}

}  // namespace rowan
