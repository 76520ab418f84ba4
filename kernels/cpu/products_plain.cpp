#ifndef ROWAN_ONEDNN
#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/vector.h"

namespace rowan {

struct Products::State {
  int threads;
};

Products::Products(int threads) : state_(new State{threads}) {}
Products::~Products() = default;

void Products::run(const Product& p) {
  cpu::with_dtype(p.operands, [&](auto operand) {
    cpu::with_dtype(p.result, [&](auto result) {
      using T = decltype(operand);
      using R = decltype(result);
      cpu::parallel_for(state_->threads, p.batch * p.m, [&](int64_t row) {
        int64_t entry = row / p.m, i = row % p.m;
        const T* a = static_cast<const T*>(p.a) + entry * p.m * p.k;
        const T* b = static_cast<const T*>(p.b) + entry * p.k * p.n;
        R* c = static_cast<R*>(p.c) + row * p.n;
        std::vector<float> sums(static_cast<size_t>(p.n));
        if (p.transpose_b) {
          std::vector<float> left(static_cast<size_t>(p.k));
          for (int64_t x = 0; x < p.k; ++x) left[x] = cpu::load(a[p.transpose_a ? x * p.m + i : i * p.k + x]);
          for (int64_t j = 0; j < p.n; ++j) {
            float sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int64_t x = 0; x < p.k; ++x) sum += left[x] * cpu::load(b[j * p.k + x]);
            sums[j] = sum;
          }
        } else {
          for (int64_t x = 0; x < p.k; ++x) {
            float left = cpu::load(a[p.transpose_a ? x * p.m + i : i * p.k + x]);
#pragma omp simd
            for (int64_t j = 0; j < p.n; ++j) sums[j] += left * cpu::load(b[x * p.n + j]);
          }
        }
        for (int64_t j = 0; j < p.n; ++j) {
          float value = p.alpha * sums[j];
          if (p.bias) value += cpu::load(static_cast<const T*>(p.bias)[j]);
          if (p.beta != 0) value += p.beta * cpu::load(c[j]);
          cpu::store(c[j], value);
        }
      });
    });
  });
}

bool Products::fast_bf16() { return false; }
const char* Products::library() { return "plain loops"; }

}  // namespace rowan
#endif
