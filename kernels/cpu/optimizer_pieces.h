// Functions that the CPU's optimizer operations share. They split slots into pieces of work, read and write elements as
// floats, and update weights.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/vector.h"
#include "kernels/optimizer_rules.h"

namespace rowan::cpu {

// Units [begin, begin + count) of one slot: elements, rows or columns.
struct Piece {
  int64_t slot, begin, count;
};

// Cuts each slot into pieces of at most grain(slot) units. units(slot) is the number of units in the slot.
template <typename Units, typename Grain>
std::vector<Piece> cut(size_t slots, Units units, Grain grain) {
  std::vector<Piece> pieces;
  for (size_t s = 0; s < slots; ++s)
    for (int64_t begin = 0, end = units(s), step = grain(s); begin < end; begin += step)
      pieces.push_back({static_cast<int64_t>(s), begin, std::min(step, end - begin)});
  return pieces;
}

// Elements in a piece of an elementwise pass.
inline constexpr int64_t element_grain = 32768;
// Elements converted to floats at once. A few buffers of this size fit the L1 cache.
inline constexpr int64_t block = 1024;
// The number of columns to process at once: as many whole columns in fp32 as fit 256 KB of the L2 cache, but at least
// 32 and at most 256.
inline int64_t stripe(int64_t rows) {
  return std::clamp<int64_t>(65536 / std::max<int64_t>(1, rows) / 32 * 32, 32, 256);
}

// Elements [begin, begin + count) as floats: the tensor's own memory if it is fp32, else a copy in `buffer`.
inline float* open(const Tensor& x, int64_t begin, int64_t count, float* buffer) {
  if (x.dtype == DType::f32) return x.as<float>() + begin;
  const bf16* from = x.as<bf16>() + begin;
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) buffer[j] = to_float(from[j]);
  return buffer;
}

// Stores `values`, which may be the pointer that open() returned, in elements [begin, begin + count) of x.
inline void close(const Tensor& x, int64_t begin, int64_t count, const float* values) {
  if (x.dtype == DType::f32) {
    float* to = x.as<float>() + begin;
    if (to != values) std::copy(values, values + count, to);
    return;
  }
  bf16* to = x.as<bf16>() + begin;
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) store(to[j], values[j]);
}

inline float rounded(float x) {
  bf16 narrow;
  store(narrow, x);
  return to_float(narrow);
}

// Rounds a finite x down or up to bf16, with probabilities that make x the expected value. `bits` are 16 random bits.
inline bf16 round_stochastic(float x, uint32_t bits) {
  uint32_t wide;
  std::memcpy(&wide, &x, sizeof wide);
  if ((wide & 0x7f800000u) == 0x7f800000u) return to_bf16(x);
  return bf16{static_cast<uint16_t>((wide + bits) >> 16)};
}

inline uint32_t random_bits(const Rounding& rounding, int64_t element) {
  Philox draw = philox(rounding.seed, static_cast<uint64_t>(element) / 8, rounding.step);
  uint32_t word = draw.word[element % 8 / 2];
  return element % 2 ? word >> 16 : word & 0xffffu;
}

// True if the mask allows decay of weight w. Has no branches, so that compilers can vectorize the loops that call it.
inline bool allows(Mask mask, float step, float w) {
  const float product = step * w;
  return (mask == Mask::none) | (product > 0.0f) | ((mask != Mask::same_sign) & (product == 0.0f));
}

// For elements begin + j of a slot, j < count: w = keep(j) w - step(j), or w = keep(j) (w - step(j)) if decay_last.
// Where the mask excludes decay, 1 replaces keep(j).
template <typename Keep, typename Step>
void update(const OptimizerSlot& slot, int64_t begin, int64_t count, const Rounding& rounding, Mask mask, Keep keep,
            Step step, bool decay_last = false) {
  auto kept = [&](int64_t j, float w) { return allows(mask, step(j), w) ? keep(j) : 1.0f; };
  auto taken = [&](int64_t j, float w) { return decay_last ? kept(j, w) * step(j) : step(j); };
  if (slot.value().dtype == DType::f32) {
    float* w = slot.value().as<float>() + begin;
    if (mask == Mask::none && !decay_last) {
#pragma omp simd
      for (int64_t j = 0; j < count; ++j) w[j] = keep(j) * w[j] - step(j);
    } else {
#pragma omp simd
      for (int64_t j = 0; j < count; ++j) w[j] = kept(j, w[j]) * w[j] - taken(j, w[j]);
    }
    if (!slot.master.empty()) close(slot.weight, begin, count, w);
    return;
  }
  bf16* w = slot.weight.as<bf16>() + begin;
  if (rounding.stochastic) {
    for (int64_t j = 0; j < count; ++j) {
      const float before = to_float(w[j]);
      w[j] =
          round_stochastic(kept(j, before) * before - taken(j, before), random_bits(rounding, slot.index + begin + j));
    }
    return;
  }
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) {
    const float before = to_float(w[j]);
    store(w[j], rounded(kept(j, before) * before) - taken(j, before));
  }
}

}  // namespace rowan::cpu
