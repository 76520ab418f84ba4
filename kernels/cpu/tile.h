// Products of small fp32 tiles that are in cache, on GCC vector types as wide as the level's registers. GCC would split
// wider vectors and spill them to the stack. FLOPs: 2 m n k. Lower bound on the time: these FLOPs at the peak rate of a
// core. `rowan bench gemm` measures the rates of tiles and of a core, and BENCHMARKS.md lists some of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "base/dtype.h"

namespace rowan::cpu {

// The sizes are chosen so that a block of sums, one row of the right operand and one value of the left operand fit in
// the registers.
#if defined(__AVX512F__)
constexpr int64_t lanes = 16;  // 32 registers
constexpr int block_vectors = 4;
#elif defined(__AVX__)
constexpr int64_t lanes = 8;  // 16 registers
constexpr int block_vectors = 2;
#else
constexpr int64_t lanes = 4;
#if defined(__aarch64__)
constexpr int block_vectors = 4;  // 32 registers
#else
constexpr int block_vectors = 2;  // 16 registers
#endif
#endif
constexpr int64_t block_rows = 6;
typedef float Vector __attribute__((vector_size(lanes * sizeof(float))));
typedef float UnalignedVector __attribute__((vector_size(lanes * sizeof(float)), aligned(4)));

inline Vector load_vector(const float* from) { return *reinterpret_cast<const UnalignedVector*>(from); }
inline Vector load_vector(const bf16* from) {
  typedef uint16_t Bits __attribute__((vector_size(lanes * sizeof(uint16_t))));
  typedef uint32_t Wide __attribute__((vector_size(lanes * sizeof(uint32_t))));
  Bits bits;
  std::memcpy(&bits, from, sizeof bits);
  return reinterpret_cast<Vector>(__builtin_convertvector(bits, Wide) << 16);
}

// The larger values of a and b. largest_four compares four lanes at a time, because a chain of one comparison per lane
// would be slower.
typedef float FourLanes __attribute__((vector_size(16)));
inline FourLanes larger(FourLanes a, FourLanes b) { return a > b ? a : b; }
inline FourLanes largest_four(const Vector& x) {
  FourLanes parts[lanes / 4];
  std::memcpy(parts, &x, sizeof x);
  FourLanes most = parts[0];
#pragma GCC unroll 4
  for (int64_t i = 1; i < lanes / 4; ++i) most = larger(parts[i], most);
  return most;
}
inline float largest_lane(const Vector& x) {
  const FourLanes most = largest_four(x);
  const float a = most[0] > most[1] ? most[0] : most[1], b = most[2] > most[3] ? most[2] : most[3];
  return a > b ? a : b;
}
// to[i] = the largest lane of x[i], for i < 4.
inline void largest_lanes(float* to, const Vector* x) {
  const FourLanes a = largest_four(x[0]), b = largest_four(x[1]), c = largest_four(x[2]), d = largest_four(x[3]);
  const FourLanes ab = larger(__builtin_shufflevector(a, b, 0, 4, 1, 5), __builtin_shufflevector(a, b, 2, 6, 3, 7));
  const FourLanes cd = larger(__builtin_shufflevector(c, d, 0, 4, 1, 5), __builtin_shufflevector(c, d, 2, 6, 3, 7));
  const FourLanes most =
      larger(__builtin_shufflevector(ab, cd, 0, 1, 4, 5), __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
  std::memcpy(to, &most, sizeof most);
}

constexpr int64_t round_up(int64_t x, int64_t step) { return (x + step - 1) / step * step; }

// Computes a block of c, MR rows by NV vectors. The sums stay in registers for the whole loop over k.
template <int MR, int NV, bool transpose_a>
inline void tile_block(float* c, int64_t ldc, const float* a, int64_t lda, const float* b, int64_t ldb, int64_t k,
                       bool accumulate) {
  constexpr int64_t ahead = 24;  // values of k between a prefetch and its use
  Vector sums[MR][NV] = {};
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
    for (int64_t j = 0; j < NV * lanes; j += 16) __builtin_prefetch(c + i * ldc + j, 1);
  for (int64_t x = 0; x < k; ++x) {
    // Prefetches a transposed matrix a, whose values are a whole row apart, because the CPU does not do so by itself.
    if constexpr (transpose_a) __builtin_prefetch(a + (x + ahead) * lda);
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
      // Not `auto`, which drops the alignment attribute. The compiler would then assume aligned memory.
      UnalignedVector* to = reinterpret_cast<UnalignedVector*>(c + i * ldc + j * lanes);
      *to = accumulate ? *to + sums[i][j] : sums[i][j];
    }
}

template <int NV, bool transpose_a>
void tile_columns(float* c, int64_t ldc, const float* a, int64_t lda, const float* b, int64_t ldb, int64_t m, int64_t k,
                  bool accumulate) {
  int64_t i = 0;
  auto rows = [&]<int MR>(std::integral_constant<int, MR>) {
    for (; i + MR <= m; i += MR)
      tile_block<MR, NV, transpose_a>(c + i * ldc, ldc, transpose_a ? a + i : a + i * lda, lda, b, ldb, k, accumulate);
  };
  rows(std::integral_constant<int, block_rows>());
  rows(std::integral_constant<int, 4>());
  rows(std::integral_constant<int, 2>());
  rows(std::integral_constant<int, 1>());
}

// c[m, n] = op(a)[m, k] b[k, n], or += if `accumulate`. op(a) is a, or a^T if transpose_a. The leading dimensions of c,
// a and b are ldc, lda and ldb. n and ldb are multiples of `lanes`, and b is aligned to a vector.
template <bool transpose_a>
void tile_product(float* c, int64_t ldc, const float* a, int64_t lda, const float* b, int64_t ldb, int64_t m, int64_t n,
                  int64_t k, bool accumulate) {
  int64_t j = 0;
  auto columns = [&]<int NV>(std::integral_constant<int, NV>) {
    for (; j + NV * lanes <= n; j += NV * lanes)
      tile_columns<NV, transpose_a>(c + j, ldc, a, lda, b + j, ldb, m, k, accumulate);
  };
  if constexpr (block_vectors > 2) columns(std::integral_constant<int, block_vectors>());
  columns(std::integral_constant<int, 2>());
  columns(std::integral_constant<int, 1>());
}

}  // namespace rowan::cpu
