// Transposes matrices of fp32 or bf16 values, into fp32 or unchanged, four by four in registers. Lower bound on the
// time: one read and one write of each value at the rate of a copy.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/cpu/vector.h"

namespace rowan::cpu {

typedef float Four __attribute__((vector_size(16)));

inline Four load_four(const float* from) {
  Four values;
  std::memcpy(&values, from, sizeof values);
  return values;
}

inline Four load_four(const bf16* from) {
  typedef uint16_t Bits __attribute__((vector_size(8)));
  typedef uint32_t Wide __attribute__((vector_size(16)));
  Bits bits;
  std::memcpy(&bits, from, sizeof bits);
  return reinterpret_cast<Four>(__builtin_convertvector(bits, Wide) << 16);
}

// to[x][j] = from[j][x] for 4 by 4 elements; rows are to_stride and from_stride apart.
template <typename T>
inline void transpose_four(float* to, int64_t to_stride, const T* from, int64_t from_stride) {
  const Four a = load_four(from), b = load_four(from + from_stride), c = load_four(from + 2 * from_stride),
             d = load_four(from + 3 * from_stride);
  const Four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Four ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const Four rows[4] = {__builtin_shufflevector(ab, cd, 0, 1, 4, 5), __builtin_shufflevector(ab, cd, 2, 3, 6, 7),
                        __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5), __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7)};
  for (int64_t x = 0; x < 4; ++x) std::memcpy(to + x * to_stride, &rows[x], sizeof rows[x]);
}

inline void transpose_four(bf16* to, int64_t to_stride, const bf16* from, int64_t from_stride) {
  typedef uint16_t Bits __attribute__((vector_size(8)));
  Bits a, b, c, d;
  std::memcpy(&a, from, sizeof a);
  std::memcpy(&b, from + from_stride, sizeof b);
  std::memcpy(&c, from + 2 * from_stride, sizeof c);
  std::memcpy(&d, from + 3 * from_stride, sizeof d);
  const Bits ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Bits ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const Bits rows[4] = {__builtin_shufflevector(ab, cd, 0, 1, 4, 5), __builtin_shufflevector(ab, cd, 2, 3, 6, 7),
                        __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5), __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7)};
  for (int64_t x = 0; x < 4; ++x) std::memcpy(to + x * to_stride, &rows[x], sizeof rows[x]);
}

// to[x][j] = from[j][x] for j < rows, x < cols.
template <typename R, typename T>
void transpose(R* to, int64_t to_stride, const T* from, int64_t from_stride, int64_t rows, int64_t cols) {
  const int64_t whole_rows = rows / 4 * 4, whole_cols = cols / 4 * 4;
  for (int64_t x = 0; x < whole_cols; x += 4)
    for (int64_t j = 0; j < whole_rows; j += 4)
      transpose_four(to + x * to_stride + j, to_stride, from + j * from_stride + x, from_stride);
  for (int64_t x = 0; x < cols; ++x)
    for (int64_t j = x < whole_cols ? whole_rows : 0; j < rows; ++j)
      store(to[x * to_stride + j], load(from[j * from_stride + x]));
}

}  // namespace rowan::cpu
