// Products of small fp32 tiles that sit in cache, written with GCC's vector types: 16 floats at a time, which the
// compiler maps onto whatever the machine has.
#pragma once

#include <algorithm>
#include <cstdint>

namespace rowan::cpu {

constexpr int64_t lanes = 16;
typedef float Vector __attribute__((vector_size(64)));

inline int64_t round_up(int64_t x, int64_t step) { return (x + step - 1) / step * step; }

// A block of MR rows and NV vectors of c, held in registers over the whole of k.
template <int MR, int NV, bool transpose_a>
inline void tile_block(float* c, int64_t ldc, const float* a, int64_t lda, const float* b, int64_t ldb, int64_t k,
                       bool accumulate) {
  Vector sums[MR][NV] = {};
  for (int64_t x = 0; x < k; ++x) {
    Vector right[NV];
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) right[j] = *reinterpret_cast<const Vector*>(b + x * ldb + j * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
      float left = transpose_a ? a[x * lda + i] : a[i * lda + x];
#pragma GCC unroll 8
      for (int j = 0; j < NV; ++j) sums[i][j] += left * right[j];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < NV; ++j) {
      Vector* to = reinterpret_cast<Vector*>(c + i * ldc + j * lanes);
      *to = accumulate ? *to + sums[i][j] : sums[i][j];
    }
}

template <int NV, bool transpose_a>
void tile_columns(float* c, int64_t ldc, const float* a, int64_t lda, const float* b, int64_t ldb, int64_t m, int64_t k,
                  bool accumulate) {
  auto left = [&](int64_t i) { return transpose_a ? a + i : a + i * lda; };
  int64_t i = 0;
  for (; i + 6 <= m; i += 6) tile_block<6, NV, transpose_a>(c + i * ldc, ldc, left(i), lda, b, ldb, k, accumulate);
  for (; i + 2 <= m; i += 2) tile_block<2, NV, transpose_a>(c + i * ldc, ldc, left(i), lda, b, ldb, k, accumulate);
  for (; i < m; ++i) tile_block<1, NV, transpose_a>(c + i * ldc, ldc, left(i), lda, b, ldb, k, accumulate);
}

// c[m, n] (+)= op(a) b with op(a) [m, k], b [k, n], rows ldc, lda, ldb apart. n, ldb and ldc are multiples of 16 and b
// and c 64-byte aligned.
template <bool transpose_a>
void tile_product(float* c, int64_t ldc, const float* a, int64_t lda, const float* b, int64_t ldb, int64_t m, int64_t n,
                  int64_t k, bool accumulate) {
  int64_t j = 0;
  for (; j + 64 <= n; j += 64) tile_columns<4, transpose_a>(c + j, ldc, a, lda, b + j, ldb, m, k, accumulate);
  for (; j + 32 <= n; j += 32) tile_columns<2, transpose_a>(c + j, ldc, a, lda, b + j, ldb, m, k, accumulate);
  for (; j < n; j += 16) tile_columns<1, transpose_a>(c + j, ldc, a, lda, b + j, ldb, m, k, accumulate);
}

}  // namespace rowan::cpu
