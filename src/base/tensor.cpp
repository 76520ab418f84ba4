#include "base/tensor.h"

#include "base/error.h"

namespace rowan {

Tensor::Tensor(void* data, DType dtype, std::initializer_list<int64_t> dims)
    : data(data), dtype(dtype), rank(static_cast<int>(dims.size())) {
  if (dims.size() > max_rank) fail("tensor: found {} dimensions, expected at most {}", dims.size(), max_rank);
  int i = 0;
  for (int64_t d : dims) shape[i++] = d;
}

Tensor Tensor::view(std::initializer_list<int64_t> dims) const {
  Tensor result(data, dtype, dims);
  if (result.numel() != numel()) fail("view: found {}, expected as many elements as {}", describe(), result.describe());
  return result;
}

Tensor Tensor::slice(int64_t begin, int64_t count) const {
  if (rank == 0 || begin < 0 || count < 0 || begin + count > shape[0])
    fail("slice: found entries [{}, {}), expected entries within {}", begin, begin + count, describe());
  Tensor result = *this;
  int64_t stride = shape[0] == 0 ? 0 : numel() / shape[0];
  result.data = static_cast<char*>(data) + static_cast<size_t>(begin * stride) * size_of(dtype);
  result.shape[0] = count;
  return result;
}

Tensor Tensor::at(int64_t i) const {
  Tensor one = slice(i, 1);
  Tensor result = one;
  result.rank = rank - 1;
  for (int d = 0; d + 1 < max_rank; ++d) result.shape[d] = one.shape[d + 1];
  result.shape[max_rank - 1] = 1;
  return result;
}

bool Tensor::same_shape(const Tensor& other) const {
  if (rank != other.rank) return false;
  for (int i = 0; i < rank; ++i)
    if (shape[i] != other.shape[i]) return false;
  return true;
}

std::string Tensor::describe() const {
  if (empty()) return "nothing";
  std::string text = fmt::format("{}[", name_of(dtype));
  for (int i = 0; i < rank; ++i) text += fmt::format("{}{}", i ? ", " : "", shape[i]);
  return text + "]";
}

}  // namespace rowan
