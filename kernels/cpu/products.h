// The two implementations of the CPU backend's matrix products: Rowan's own code in fp32 (products_tiles.cpp), and
// oneDNN (products_onednn.cpp), which is used for bf16 operands if m > 1 and Bf16Products::fast(). Results do not
// depend on the number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/dtype.h"
#include "kernels/cpu/scratch.h"
#include "kernels/thread_pool.h"

namespace rowan {

// c[m, n] = alpha op(a)[m, k] op(b)[k, n] (+ bias[n]) + beta c, for each of `batch` products. op(a) is a, or a^T if
// transpose_a; op(b) is b, or b^T if transpose_b. The matrices of a batch follow one another in memory.
struct Product {
  int64_t batch = 1, m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  DType operands = DType::f32;  // dtype of a, b and bias
  DType result = DType::f32;    // dtype of c
  const void *a = nullptr, *b = nullptr, *bias = nullptr;
  void* c = nullptr;
  float alpha = 1, beta = 0;
  bool symmetric = false;  // only elements of c on and below the diagonal need to be computed; there is no bias
};

// Cache-blocked products (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008).
class TileProducts {
 public:
  explicit TileProducts(ThreadPool& threads) : threads_(threads) {}
  void run(const Product& product);

 private:
  ThreadPool& threads_;
  cpu::Scratch packed_, own_;
};

// Products by oneDNN. fast() is true if this build has oneDNN, the level is v4, and the processor has bf16 instructions
// that are faster than fp32 (products_onednn.cpp).
class Bf16Products {
 public:
  explicit Bf16Products(ThreadPool& threads);
  ~Bf16Products();
  static bool fast();
  void run(const Product& product);
  // For CpuBackend::describe(): the library's name and version, or the reason why no library is used.
  static std::string describe();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rowan
