// Transposes matrices of fp32 or bf16 values, four by four in registers. The result has the same dtype or is fp32.
// Lower bound on the time: one read and one write of each value at the rate of a copy.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/cpu/vector.h"

namespace rowan::cpu {

template <typename R>
struct Four {
  typedef R Type __attribute__((vector_size(4 * sizeof(R))));
};
template <>
struct Four<bf16> : Four<uint16_t> {};

// Loads four values of type T as values of type R.
template <typename R, typename T>
inline typename Four<R>::Type load_four(const T* from) {
  typename Four<T>::Type values;
  std::memcpy(&values, from, sizeof values);
  if constexpr (std::is_same_v<R, T>)
    return values;
  else  // bf16 to fp32
    return reinterpret_cast<typename Four<R>::Type>(__builtin_convertvector(values, Four<uint32_t>::Type) << 16);
}

// to[x][j] = from[j][x] for 4 by 4 elements; rows are to_stride and from_stride apart.
template <typename R, typename T>
inline void transpose_four(R* to, int64_t to_stride, const T* from, int64_t from_stride) {
  using Values = typename Four<R>::Type;
  const Values a = load_four<R>(from), b = load_four<R>(from + from_stride), c = load_four<R>(from + 2 * from_stride),
               d = load_four<R>(from + 3 * from_stride);
  const Values ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Values ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const Values rows[4] = {__builtin_shufflevector(ab, cd, 0, 1, 4, 5), __builtin_shufflevector(ab, cd, 2, 3, 6, 7),
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
