// Matrix products for the CPU backend: oneDNN (products_onednn.cpp), or plain loops in a build without it
// (products_plain.cpp).
#pragma once

#include <cstdint>
#include <memory>

#include "base/dtype.h"

namespace rowan {

// c[m, n] = alpha op(a)[m, k] op(b)[k, n] (+ bias[n]) + beta c, `batch` times over contiguous matrices.
struct Product {
  int64_t batch = 1, m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  DType operands = DType::f32;  // of a, b and bias
  DType result = DType::f32;    // of c
  const void *a = nullptr, *b = nullptr, *bias = nullptr;
  void* c = nullptr;
  float alpha = 1, beta = 0;
};

class Products {
 public:
  explicit Products(int threads);
  ~Products();
  void run(const Product& product);
  // Whether bf16 operands are multiplied by the CPU's own bf16 instructions.
  static bool fast_bf16();
  static const char* library();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rowan
