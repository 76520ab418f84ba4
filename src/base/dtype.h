// Element types of tensors, and conversions of bfloat16. C++17, because CUDA sources include this header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/enum_names.h"

namespace rowan {

enum class DType : uint8_t { f32, bf16, i32 };

inline size_t size_of(DType dtype) { return dtype == DType::bf16 ? 2 : 4; }
constexpr auto names_of(DType) { return enum_names("fp32", "bf16", "i32"); }

// bfloat16 in memory: the upper 16 bits of an fp32 number.
struct bf16 {
  uint16_t bits;
};

inline float to_float(bf16 value) {
  uint32_t wide = static_cast<uint32_t>(value.bits) << 16;
  float result;
  std::memcpy(&result, &wide, sizeof result);
  return result;
}

// Rounds to nearest, ties to even. A NaN stays a NaN.
inline bf16 to_bf16(float value) {
  uint32_t wide;
  std::memcpy(&wide, &value, sizeof wide);
  if ((wide & 0x7fffffffu) > 0x7f800000u) return bf16{static_cast<uint16_t>((wide >> 16) | 0x40u)};
  return bf16{static_cast<uint16_t>((wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16)};
}

}  // namespace rowan
