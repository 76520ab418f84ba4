// Computes a matrix product whose last bits show which algorithm computed the product.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "kernels/arena.h"
#include "kernels/backend.h"

namespace rowan {

// a b for fixed a of [rows, 64] and b of [64, 8], in fp32.
inline std::vector<float> fixed_product(Backend& backend, int64_t rows) {
  Arena arena(backend, Category::workspace);
  auto random = [&](std::initializer_list<int64_t> shape) {
    Tensor x = arena.take(DType::f32, shape);
    std::vector<float> values(static_cast<size_t>(x.numel()));
    uint64_t state = 7;
    for (float& value : values) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      value = static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-31f;
    }
    backend.upload(x, values.data());
    return x;
  };
  const Tensor a = random({rows, 64}), b = random({64, 8}), c = arena.take(DType::f32, {rows, 8});
  backend.matmul(c, a, b);
  std::vector<float> result(static_cast<size_t>(c.numel()));
  backend.download(result.data(), c);
  return result;
}

}  // namespace rowan
