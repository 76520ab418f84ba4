// Arena: allocates tensors in device memory of one category, and frees them in its destructor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "base/tensor.h"
#include "kernels/category.h"

namespace rowan {

class Backend;

class Arena {
 public:
  Arena(Backend& backend, Category category) : backend_(backend), category_(category) {}
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Returns a zeroed tensor that is valid until the arena is destroyed, or an empty tensor if a dimension is 0. Throws
  // OutOfMemory if there is not enough memory.
  Tensor take(DType dtype, std::initializer_list<int64_t> shape);
  // Bytes of all tensors taken so far.
  size_t bytes() const { return bytes_; }

 private:
  Backend& backend_;
  Category category_;
  std::vector<void*> blocks_;
  size_t bytes_ = 0;
};

}  // namespace rowan
