// Shared by the optimizer kernels: the list of slots that one launch processes, loads and stores of bf16 and fp32, the
// update of weights, and formulas of the rules.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/random.h"
#include "kernels/cuda/vector.cuh"
#include "kernels/gpu_workspace.h"
#include "kernels/optimizer_rules.h"

namespace rowan::cuda {

// One matrix of a launch. `update` points to the slot's matrix in the update tensor, or to another matrix that the
// kernel processes. `sums` points to the slot's sums, factors or scratch memory. Pointers may be null if the kernel
// does not need them.
struct Slot {
  void *weight, *master, *gradient, *first, *second, *update;
  float* sums;
  int64_t rows, cols, index;
  float scale;

  __host__ __device__ int64_t count() const { return rows * cols; }
};

// Dtypes, which are the same in all slots of a call. true: bf16, false: fp32.
struct SlotTypes {
  bool weight, gradient, first, second, update;
};

// A kernel parameter. The capacity keeps the parameters of a launch below 4 KB.
struct SlotList {
  static constexpr int capacity = slots_per_launch;
  Slot slots[capacity];
  SlotTypes types;
};

// Loads elements [at, at + width) as floats.
template <int width>
__device__ __forceinline__ void load_any(float (&to)[width], const void* from, int64_t at, bool is_bf16) {
  if (is_bf16)
    load(to, static_cast<const bfloat16*>(from) + at);
  else
    load(to, static_cast<const float*>(from) + at);
}

template <int width>
__device__ __forceinline__ void store_any(void* to, int64_t at, bool is_bf16, const float (&values)[width]) {
  if (is_bf16)
    store(static_cast<bfloat16*>(to) + at, values);
  else
    store(static_cast<float*>(to) + at, values);
}

// Loads the values that an update changes: the master weights if there are any, else the weights.
template <int width>
__device__ __forceinline__ void load_value(float (&to)[width], const Slot& slot, const SlotTypes& types, int64_t at) {
  load_any(to, slot.master ? slot.master : slot.weight, at, slot.master ? false : types.weight);
}

// Rounds a finite x down or up to bf16, with probabilities that make x the expected value. `bits` are 16 random bits.
__device__ __forceinline__ float round_stochastic(float x, uint32_t bits) {
  uint32_t wide;
  memcpy(&wide, &x, sizeof wide);
  if ((wide & 0x7f800000u) == 0x7f800000u) return x;
  wide = (wide + bits) & 0xffff0000u;
  memcpy(&x, &wide, sizeof x);
  return x;
}

__device__ __forceinline__ bool allows(Mask mask, float step, float w) {
  return mask == Mask::none || (mask == Mask::same_sign ? step * w > 0.0f : step * w >= 0.0f);
}

// Stores keep * w - step for elements [at, at + width), or keep * w - keep * step if decay_last. w is what load_value()
// loaded. `rounding` applies to bf16 weights without a master. Where the mask excludes weight decay, keep[j] is set
// to 1.
template <int width>
__device__ __forceinline__ void store_weights(const Slot& slot, const SlotTypes& types, int64_t at, float (&w)[width],
                                              float (&keep)[width], float (&step)[width], const Rounding& rounding,
                                              Mask mask = Mask::none, bool decay_last = false) {
#pragma unroll
  for (int j = 0; j < width; ++j)
    if (!allows(mask, step[j], w[j])) keep[j] = 1.0f;
  if (decay_last) {
#pragma unroll
    for (int j = 0; j < width; ++j) step[j] *= keep[j];
  }
  if (slot.master || !types.weight) {
#pragma unroll
    for (int j = 0; j < width; ++j) w[j] = keep[j] * w[j] - step[j];
    if (slot.master) store_any(slot.master, at, false, w);
  } else if (!rounding.stochastic) {
#pragma unroll
    for (int j = 0; j < width; ++j) w[j] = rounded<bfloat16>(keep[j] * w[j]) - step[j];
  } else {
    Philox draw{};
#pragma unroll
    for (int j = 0; j < width; ++j) {
      uint64_t element = static_cast<uint64_t>(slot.index + at + j);
      if (j == 0 || element % 8 == 0) draw = philox(rounding.seed, element / 8, rounding.step);
      uint32_t word = element % 8 < 4 ? (element % 8 < 2 ? draw.word[0] : draw.word[1])
                                      : (element % 8 < 6 ? draw.word[2] : draw.word[3]);
      w[j] = round_stochastic(keep[j] * w[j] - step[j], element % 2 ? word >> 16 : word & 0xffffu);
    }
  }
  store_any(slot.weight, at, types.weight, w);
}

template <int width>
__device__ __forceinline__ void update_weights(const Slot& slot, const SlotTypes& types, int64_t at,
                                               float (&keep)[width], float (&step)[width], const Rounding& rounding,
                                               Mask mask = Mask::none, bool decay_last = false) {
  float w[width];
  load_value(w, slot, types, at);
  store_weights(slot, types, at, w, keep, step, rounding, mask, decay_last);
}

// Returns the coefficient c of the projection u -= c w. uw and ww are the dot products <u, w> and <w, w>.
__device__ __forceinline__ float projection_share(bool raw, float eps, float uw, float ww) {
  if (raw) return uw;
  float norm = at_least(sqrtf(ww), eps);
  return uw / norm / norm;
}

// Returns 1 / (norm + eps), or 1 / max(norm, eps) if mode is clamp. Returns 0 if the divisor is not positive.
__device__ __forceinline__ float inverse_norm(float squares, float eps, Eps mode) {
  float norm = sqrtf(squares), divisor = mode == Eps::clamp ? at_least(norm, eps) : norm + eps;
  return divisor <= 0.0f ? 0.0f : 1.0f / divisor;
}

// Writes the new momentum buffer to b and the update to u.
template <int width>
__device__ __forceinline__ void mix_momentum(const MomentumRule& rule, const float (&gradient)[width],
                                             float (&b)[width], float (&u)[width]) {
#pragma unroll
  for (int j = 0; j < width; ++j) {
    float g = rule.grad_scale * gradient[j], before = b[j], after = rule.keep * before + rule.take * g;
    b[j] = after;
    u[j] = rule.from_buffer * (rule.previous ? before : after) + rule.from_gradient * g;
  }
}

// Converts slots for kernels. A weight that is not a matrix counts as one row.
inline std::vector<Slot> device_slots(const std::vector<OptimizerSlot>& slots) {
  std::vector<Slot> result;
  for (const OptimizerSlot& slot : slots) {
    bool matrix = slot.weight.rank == 2;
    result.push_back({slot.weight.data, slot.master.data, slot.gradient.data, slot.first.data, slot.second.data,
                      nullptr, nullptr, matrix ? slot.weight.dim(0) : 1,
                      matrix ? slot.weight.dim(1) : slot.weight.numel(), slot.index, slot.scale});
  }
  return result;
}

inline SlotTypes types_of(const std::vector<OptimizerSlot>& slots) {
  SlotTypes types{};
  if (slots.empty()) return types;
  types.weight = slots[0].weight.dtype == DType::bf16;
  types.gradient = slots[0].gradient.dtype == DType::bf16;
  types.first = slots[0].first.dtype == DType::bf16;
  types.second = slots[0].second.dtype == DType::bf16;
  return types;
}

// Points each slot to its matrix [rows, cols] of an update [n, rows, cols].
inline void attach_update(std::vector<Slot>& slots, SlotTypes& types, const Tensor& update) {
  types.update = update.dtype == DType::bf16;
  for (size_t i = 0; i < slots.size(); ++i) {
    slots[i].rows = update.dim(1);
    slots[i].cols = update.dim(2);
    slots[i].update = update.as<char>() + i * static_cast<size_t>(slots[i].count()) * size_of(update.dtype);
  }
}

// Points each slot to its row of sums [n, k].
inline void attach_sums(std::vector<Slot>& slots, float* sums, int64_t k) {
  for (size_t i = 0; i < slots.size(); ++i) slots[i].sums = sums + static_cast<int64_t>(i) * k;
}

// The vector width that the pointers of all slots allow. If whole_rows, no vector may cross the end of a row.
inline int slots_width(const std::vector<Slot>& slots, bool whole_rows) {
  int width = vector_elements;
  for (const Slot& s : slots)
    width = std::min(width, vector_width({s.weight, s.master, s.gradient, s.first, s.second, s.update},
                                         whole_rows ? s.cols : vector_elements));
  return width;
}

// Splits the slots into lists of at most SlotList::capacity slots, and calls f(list, count) for each.
template <typename F>
void for_lists(const std::vector<Slot>& slots, const SlotTypes& types, F f) {
  for (size_t begin = 0; begin < slots.size(); begin += SlotList::capacity) {
    size_t count = std::min<size_t>(SlotList::capacity, slots.size() - begin);
    SlotList list{};
    std::copy_n(slots.begin() + static_cast<std::ptrdiff_t>(begin), count, list.slots);
    list.types = types;
    f(list, static_cast<unsigned>(count));
  }
}

// The largest f(slot), or 1 if all are smaller.
template <typename F>
int64_t largest(const std::vector<Slot>& slots, F f) {
  int64_t result = 1;
  for (const Slot& slot : slots) result = std::max(result, f(slot));
  return result;
}

// Number of threads of a block that processes a row of `cols` elements.
inline unsigned row_threads(int64_t cols, int width) {
  return static_cast<unsigned>(std::clamp<int64_t>(ceil_div(cols, width * warp_size) * warp_size, warp_size, 256));
}

}  // namespace rowan::cuda
