// Tensor: a non-owning, row-major, contiguous view of memory of a backend, on a device or on the host. C++17, because
// CUDA sources include this header.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "base/dtype.h"

namespace rowan {

struct Tensor {
  static constexpr int max_rank = 4;

  void* data = nullptr;
  DType dtype = DType::f32;
  int rank = 0;
  int64_t shape[max_rank] = {1, 1, 1, 1};

  Tensor() = default;
  Tensor(void* data, DType dtype, std::initializer_list<int64_t> dims);

  // True for an absent optional argument (a bias, fp32 master weights).
  bool empty() const { return data == nullptr; }
  int64_t numel() const { return empty() ? 0 : shape[0] * shape[1] * shape[2] * shape[3]; }
  size_t bytes() const { return static_cast<size_t>(numel()) * size_of(dtype); }
  int64_t dim(int i) const { return shape[i]; }
  // The tensor as a matrix: cols() is the last dimension (1 for rank 0), rows() is numel() / cols() (0 if cols() is 0).
  int64_t rows() const { return cols() == 0 ? 0 : numel() / cols(); }
  int64_t cols() const { return rank == 0 ? 1 : shape[rank - 1]; }

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }

  // The same elements with another shape. Throws Error if the number of elements differs.
  Tensor view(std::initializer_list<int64_t> dims) const;
  // Entries [begin, begin + count) of the first dimension. Throws Error if out of range.
  Tensor slice(int64_t begin, int64_t count) const;
  // Entry i of the first dimension, without that dimension. Throws Error if out of range.
  Tensor at(int64_t i) const;
  bool same_shape(const Tensor& other) const;
  // "bf16[512, 768]", or "nothing" for an empty tensor; for messages.
  std::string describe() const;
};

}  // namespace rowan
