// normalized_step, for optimizers such as RMNP, Nora and Mano. It computes momentum, projection, normalization and
// update of one row at a time, or of up to 256 columns at a time. If these rows or columns stay in cache and weights
// are bf16, the operation moves 22 bytes per parameter: it reads gradient, momentum and master in fp32, and writes
// momentum, master and weight. Lower bound on the time: this traffic at the rate of a copy.
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/optimizer_pieces.h"

namespace rowan {
using namespace cpu;

namespace {

// Writes the new momentum buffer to b and the update to u.
inline void mix(const MomentumRule& rule, int64_t count, const float* g, float* b, float* u) {
  const float keep = rule.keep, take = rule.take * rule.grad_scale;
  const float from_buffer = rule.from_buffer, from_gradient = rule.from_gradient * rule.grad_scale;
  const bool previous = rule.previous;
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) {
    const float before = b[j], after = keep * before + take * g[j];
    b[j] = after;
    u[j] = from_buffer * (previous ? before : after) + from_gradient * g[j];
  }
}

// The coefficient c of the projection u -= c w, from <u, w> and <w, w>.
inline float share(const NormalizedStepRule& rule, float uw, float ww) {
  if (rule.raw) return uw;
  const float norm = std::max(std::sqrt(ww), rule.eps);
  return uw / norm / norm;
}

inline float inverse(const NormalizedStepRule& rule, float squares) {
  const float norm = std::sqrt(squares);
  const float divisor = rule.eps_mode == Eps::clamp ? std::max(norm, rule.eps) : norm + rule.eps;
  return divisor <= 0 ? 0.0f : 1.0f / divisor;
}

void row_step(const OptimizerSlot& slot, int64_t begin, int64_t cols, const NormalizedStepRule& rule) {
  float* memory = lines(4 * cols);
  const float* g = open(slot.gradient, begin, cols, memory);
  float* b = open(slot.first, begin, cols, memory + cols);
  float* u = memory + 2 * cols;
  mix(rule.momentum, cols, g, b, u);
  close(slot.first, begin, cols, b);
  if (rule.project) {
    const float* w = open(slot.value(), begin, cols, memory + 3 * cols);
    float uw = 0, ww = 0;
#pragma omp simd reduction(+ : uw, ww)
    for (int64_t j = 0; j < cols; ++j) uw += u[j] * w[j], ww += w[j] * w[j];
    const float k = share(rule, uw, ww);
#pragma omp simd
    for (int64_t j = 0; j < cols; ++j) u[j] -= k * w[j];
  }
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t j = 0; j < cols; ++j) squares += u[j] * u[j];
  const float step = rule.step * slot.scale * inverse(rule, squares), keep = 1.0f - rule.decay;
  update(
      slot, begin, cols, rule.rounding, Mask::none, [=](int64_t) { return keep; },
      [=](int64_t j) { return step * u[j]; });
}

// Updates columns [begin, begin + count) of a slot; count is at most 256.
void column_step(const OptimizerSlot& slot, int64_t begin, int64_t count, const NormalizedStepRule& rule) {
  const int64_t rows = slot.weight.dim(0), cols = slot.weight.dim(1);
  alignas(64) float buffers[2][256], uw[256] = {}, ww[256] = {}, squares[256] = {};
  float* updates = lines(rows * count);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t at = i * cols + begin;
    const float* g = open(slot.gradient, at, count, buffers[0]);
    float *b = open(slot.first, at, count, buffers[1]), *u = updates + i * count;
    mix(rule.momentum, count, g, b, u);
    close(slot.first, at, count, b);
    if (!rule.project) continue;
    const float* w = open(slot.value(), at, count, buffers[0]);
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) uw[j] += u[j] * w[j], ww[j] += w[j] * w[j];
  }
  for (int64_t j = 0; j < count; ++j) uw[j] = share(rule, uw[j], ww[j]);
  for (int64_t i = 0; i < rows; ++i) {
    float* u = updates + i * count;
    if (rule.project) {
      const float* w = open(slot.value(), i * cols + begin, count, buffers[0]);
#pragma omp simd
      for (int64_t j = 0; j < count; ++j) u[j] -= uw[j] * w[j];
    }
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) squares[j] += u[j] * u[j];
  }
  for (int64_t j = 0; j < count; ++j) squares[j] = rule.step * slot.scale * inverse(rule, squares[j]);
  const float keep = 1.0f - rule.decay;
  for (int64_t i = 0; i < rows; ++i) {
    const float *u = updates + i * count, *step = squares;
    update(
        slot, i * cols + begin, count, rule.rounding, Mask::none, [=](int64_t) { return keep; },
        [=](int64_t j) { return step[j] * u[j]; });
  }
}

}  // namespace

void CpuBackend::do_normalized_step(const std::vector<OptimizerSlot>& slots, const NormalizedStepRule& rule) {
  const bool by_row = rule.along == Along::row;
  const std::vector<Piece> pieces = cut(
      slots.size(), [&](size_t s) { return slots[s].weight.dim(by_row ? 0 : 1); },
      [&](size_t s) { return by_row ? rows_per_piece(slots[s].weight.dim(1)) : stripe(slots[s].weight.dim(0)); });
  parallel_for(threads_, static_cast<int64_t>(pieces.size()), [&](int64_t p) {
    const auto [s, begin, count] = pieces[p];
    if (!by_row) return column_step(slots[s], begin, count, rule);
    const int64_t cols = slots[s].weight.dim(1);
    for (int64_t i = begin; i < begin + count; ++i) row_step(slots[s], i * cols, cols, rule);
  });
}

}  // namespace rowan
