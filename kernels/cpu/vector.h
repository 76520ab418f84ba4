// Loads and stores of fp32 and bf16 values as floats, and math functions that GCC vectorizes inside `#pragma omp simd`
// loops, because they have no branches and no library calls. The relative error of e^x is below 2e-7 from x = -86.9 to
// 88.3. The polynomials are Chebyshev fits made for this file.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/dtype.h"

namespace rowan::cpu {

inline float load(float x) { return x; }
inline float load(bf16 x) { return to_float(x); }

inline void store(float& to, float value) { to = value; }
inline void store(bf16& to, float value) {
  uint32_t wide;
  std::memcpy(&wide, &value, sizeof wide);
  uint32_t rounded = (wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16, quiet = (wide >> 16) | 0x40u;
  to.bits = static_cast<uint16_t>((wide & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

// Starts to load `bytes` bytes into the caches. Loads beyond the end of an allocation do no harm. Used in loops over
// rows that take a few KB or are strided, because such a row ends before the CPU recognizes a sequence and prefetches
// by itself.
inline void prefetch(const void* from, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(from) + i);
}

template <typename F>
void with_dtype(DType dtype, F&& f) {
  if (dtype == DType::bf16)
    f(bf16{});
  else
    f(float{});
}

// a b + c, rounded once if the level has an FMA instruction. Without the instruction, std::fma would be a slow library
// call.
#if defined(__FMA__) || defined(__aarch64__)
#define ROWAN_FMA 1
inline float multiply_add(float a, float b, float c) { return std::fma(a, b, c); }
#else
#define ROWAN_FMA 0
inline float multiply_add(float a, float b, float c) { return a * b + c; }
#endif

// x - n log 2. With FMA, log 2 is split into two parts, so that the cancellation of x and n log 2 loses little
// precision. Without FMA, the difference is computed in double.
inline float less_log2s(float x, float n) {
#if ROWAN_FMA
  return std::fma(n, -1.42860677e-6f, std::fma(n, -0.693145752f, x));
#else
  return static_cast<float>(static_cast<double>(x) - static_cast<double>(n) * 0.69314718055994531);
#endif
}

// 2 e^r for |r| <= log(2) / 2.
inline float twice_exp_of_remainder(float r) {
  float p = 0.002788282144f;
  p = multiply_add(p, r, 0.016750736862f);
  p = multiply_add(p, r, 0.08333269852f);
  p = multiply_add(p, r, 0.333328252f);
  p = multiply_add(p, r, 1.0000000096f);
  p = multiply_add(p, r, 2.000000076f);
  return multiply_add(p, r, 2.0f);
}

// e^x for x <= 88.3; 0 below -87. With n = x / log 2 rounded to an integer and r = x - n log 2, e^x is 2 e^r 2^(n - 1).
// The low bits of n + 1.5 * 2^23 + 126 are n + 126. Shifted into the exponent, they are 2^(n - 1), or 0 if n = -126.
inline float exp_nonpositive(float x) {
  constexpr float magic = 12583038.0f;  // 1.5 * 2^23 + 126
  x = x < -87.5f ? -87.5f : x;
#if ROWAN_FMA
  const float sum = std::fma(x, 1.44269504f, magic), n = sum - magic;
#else
  // n is not computed as sum - magic here, because the compiler may reorder additions and cancel magic with -magic.
  const float n = std::rint(x * 1.44269504f), sum = n + magic;
#endif
  uint32_t bits;
  std::memcpy(&bits, &sum, sizeof bits);
  bits <<= 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return twice_exp_of_remainder(less_log2s(x, n)) * power;
}

// Takes the exponential of -|x|, which cannot overflow.
inline float sigmoid(float x) {
  const float e = exp_nonpositive(-std::fabs(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

// The standard normal distribution function Phi. `density` receives the density at x. Phi(-|x|) is e^(-x^2 / 2)
// erfcx(|x| / sqrt 2) / 2, where erfcx(y) = e^(y^2) erfc(y) is approximated by t times a polynomial in
// t = 1 / (1 + 0.4 |x| / sqrt 2).
inline float normal_cdf(float x, float& density) {
  float gauss = exp_nonpositive(-0.5f * x * x);
  density = 0.398942280f * gauss;
  float t = 1.0f / (1.0f + 0.282842712f * std::fabs(x));
  float p = -0.03432290098f;
  p = multiply_add(p, t, 0.2234391024f);
  p = multiply_add(p, t, -0.5579407408f);
  p = multiply_add(p, t, 0.6253234122f);
  p = multiply_add(p, t, -0.3482692044f);
  p = multiply_add(p, t, 0.305856496f);
  p = multiply_add(p, t, 0.1181873126f);
  p = multiply_add(p, t, 0.2173390949f);
  p = multiply_add(p, t, 0.2246660854f);
  p = multiply_add(p, t, 0.2257213437f);
  float tail = 0.5f * gauss * t * p;
  return x < 0.0f ? tail : 1.0f - tail;
}

}  // namespace rowan::cpu
