// Elements as floats, and functions that GCC turns into vector code inside `#pragma omp simd` loops: no branches, no
// library calls. Relative errors are below 2e-7; infinities and NaNs come out as in the C library. Polynomials are
// Chebyshev fits of our own.
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

// Calls f(float{}) or f(bf16{}).
template <typename F>
void with_dtype(DType dtype, F&& f) {
  if (dtype == DType::bf16)
    f(bf16{});
  else
    f(float{});
}

// e^x; 0 below -87.3, infinity above 88.3. fma keeps the compiler, which may reassociate here, from undoing the
// two-part reduction.
inline float exp(float x) {
  float limited = x < -88.0f ? -88.0f : x;
  limited = limited > 89.0f ? 89.0f : limited;
  float n = std::rint(limited * 1.44269504f);
  float r = std::fma(n, -0.693145752f, limited);
  r = std::fma(n, -1.42860677e-6f, r);
  float p = 0.001394141072f;
  p = std::fma(p, r, 0.008375368431f);
  p = std::fma(p, r, 0.04166634926f);
  p = std::fma(p, r, 0.166664126f);
  p = std::fma(p, r, 0.5000000048f);
  p = std::fma(p, r, 1.000000038f);
  p = std::fma(p, r, 1.0f);
  uint32_t bits = static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  p *= power;
  p = x < -87.3f ? 0.0f : p;
  return x > 88.3f ? HUGE_VALF : p;
}

// 1 / (1 + e^-x).
inline float sigmoid(float x) { return 1.0f / (1.0f + exp(-x)); }

// The standard normal distribution function, and its density in `density`: Phi(-|x|) = e^(-x^2/2) erfcx(|x|/sqrt 2) / 2
// with erfcx a polynomial in t = 1 / (1 + 0.4 |x| / sqrt 2).
inline float normal_cdf(float x, float& density) {
  float gauss = exp(-0.5f * x * x);
  density = 0.398942280f * gauss;
  float t = 1.0f / (1.0f + 0.282842712f * std::fabs(x));
  float p = -0.03432290098f;
  p = std::fma(p, t, 0.2234391024f);
  p = std::fma(p, t, -0.5579407408f);
  p = std::fma(p, t, 0.6253234122f);
  p = std::fma(p, t, -0.3482692044f);
  p = std::fma(p, t, 0.305856496f);
  p = std::fma(p, t, 0.1181873126f);
  p = std::fma(p, t, 0.2173390949f);
  p = std::fma(p, t, 0.2246660854f);
  p = std::fma(p, t, 0.2257213437f);
  float tail = 0.5f * gauss * t * p;
  return x < 0.0f ? tail : 1.0f - tail;
}

}  // namespace rowan::cpu
