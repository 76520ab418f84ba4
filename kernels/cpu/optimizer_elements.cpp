// Optimizer operations that look at one element at a time.
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/optimizer_pieces.h"

namespace rowan {
using namespace cpu;

namespace {

std::vector<Piece> element_pieces(const std::vector<OptimizerSlot>& slots) {
  return cut(
      slots.size(), [&](size_t s) { return slots[s].weight.numel(); }, [](size_t) { return element_grain; });
}

// fn(piece, begin, count) for blocks of at most `block` elements, in parallel over pieces.
template <typename F>
void for_blocks(int threads, const std::vector<Piece>& pieces, F fn) {
  parallel_for(threads, static_cast<int64_t>(pieces.size()), [&](int64_t p) {
    const Piece& piece = pieces[p];
    for (int64_t begin = piece.begin, end = piece.begin + piece.count; begin < end; begin += block)
      fn(piece.slot, begin, std::min(block, end - begin));
  });
}

}  // namespace

void CpuBackend::do_adamw(const std::vector<OptimizerSlot>& slots, const AdamWRule& rule) {
  for_blocks(threads_, element_pieces(slots), [&](int64_t s, int64_t begin, int64_t count) {
    const OptimizerSlot& slot = slots[s];
    alignas(64) float buffers[4][block];
    const float* g = open(slot.gradient, begin, count, buffers[0]);
    float* m = open(slot.first, begin, count, buffers[1]);
    float* v = open(slot.second, begin, count, buffers[2]);
    float* u = buffers[3];
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) {
      float gradient = rule.grad_scale * g[j];
      float mean = rule.beta1 * m[j] + (1.0f - rule.beta1) * gradient;
      float square = rule.beta2 * v[j] + (1.0f - rule.beta2) * gradient * gradient;
      m[j] = mean;
      v[j] = square;
      u[j] = rule.step * mean / (rule.root_scale * std::sqrt(square) + rule.eps);
    }
    close(slot.first, begin, count, m);
    close(slot.second, begin, count, v);
    const float keep = 1.0f - rule.decay, scale = slot.scale;
    update(
        slot, begin, count, rule.rounding, [=](int64_t) { return keep; }, [=](int64_t j) { return scale * u[j]; });
  });
}

void CpuBackend::do_momentum(Tensor update, const std::vector<OptimizerSlot>& slots, const MomentumRule& rule) {
  const int64_t size = slots.empty() ? 0 : slots[0].gradient.numel();
  for_blocks(threads_, element_pieces(slots), [&](int64_t s, int64_t begin, int64_t count) {
    const OptimizerSlot& slot = slots[s];
    alignas(64) float buffers[3][block];
    const float* g = open(slot.gradient, begin, count, buffers[0]);
    float* b = open(slot.first, begin, count, buffers[1]);
    float* u = buffers[2];
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) {
      float gradient = rule.grad_scale * g[j], before = b[j];
      float after = rule.keep * before + rule.take * gradient;
      b[j] = after;
      u[j] = rule.from_buffer * (rule.previous ? before : after) + rule.from_gradient * gradient;
    }
    close(slot.first, begin, count, b);
    close(update, s * size + begin, count, u);
  });
}

void CpuBackend::do_sign(Tensor x) {
  parallel_ranges(threads_, x.numel(), block, [&](int64_t begin, int64_t end) {
    alignas(64) float buffer[block];
    float* u = open(x, begin, end - begin, buffer);
#pragma omp simd
    for (int64_t j = 0; j < end - begin; ++j) u[j] = u[j] > 0.0f ? 1.0f : u[j] < 0.0f ? -1.0f : 0.0f;
    close(x, begin, end - begin, u);
  });
}

void CpuBackend::do_second_moment(Tensor update, const std::vector<OptimizerSlot>& slots, float beta, float eps) {
  const int64_t size = slots.empty() ? 0 : slots[0].second.numel();
  for_blocks(threads_, element_pieces(slots), [&](int64_t s, int64_t begin, int64_t count) {
    alignas(64) float buffers[2][block];
    float* u = open(update, s * size + begin, count, buffers[0]);
    float* v = open(slots[s].second, begin, count, buffers[1]);
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) {
      float square = beta * v[j] + (1.0f - beta) * u[j] * u[j];
      v[j] = square;
      u[j] /= std::sqrt(square) + eps;
    }
    close(slots[s].second, begin, count, v);
    close(update, s * size + begin, count, u);
  });
}

void CpuBackend::do_apply(Tensor update, const std::vector<OptimizerSlot>& slots, Tensor factors,
                          const ApplyRule& rule) {
  const int64_t rows = update.dim(1), cols = update.dim(2);
  const int64_t width = factors.empty() ? 0 : factors.cols();
  auto step_of = [&](float f, float scale) {
    return std::min(rule.lr * f * scale, rule.cap) / (rule.rounded ? scale : 1.0f);
  };
  auto keep_of = [&](float f) {
    return 1.0f - std::min(1.0f, rule.weight_decay * (rule.adaptive_decay ? std::min(rule.lr * f, rule.cap) : rule.lr));
  };
  const std::vector<Piece> pieces = cut(
      slots.size(), [&](size_t) { return rows; }, [&](size_t) { return rows_per_piece(cols); });
  parallel_for(threads_, static_cast<int64_t>(pieces.size()), [&](int64_t p) {
    const Piece& piece = pieces[p];
    const OptimizerSlot& slot = slots[piece.slot];
    const float* f = factors.empty() ? nullptr : factors.as<float>() + piece.slot * width;
    float* memory = lines(3 * cols);
    float *steps = memory + cols, *keeps = memory + 2 * cols;
    if (rule.along == Along::column && f)
      for (int64_t j = 0; j < cols; ++j) steps[j] = step_of(f[j], slot.scale), keeps[j] = keep_of(f[j]);
    for (int64_t i = piece.begin; i < piece.begin + piece.count; ++i) {
      const float* u = open(update, (piece.slot * rows + i) * cols, cols, memory);
      if (rule.rounded) {
        const float scale = slot.scale;
#pragma omp simd
        for (int64_t j = 0; j < cols; ++j) memory[j] = cpu::rounded(scale * u[j]);
        u = memory;
      }
      if (rule.along == Along::column && f) {
        cpu::update(
            slot, i * cols, cols, rule.rounding, [=](int64_t j) { return keeps[j]; },
            [=](int64_t j) { return steps[j] * u[j]; });
        continue;
      }
      const float factor = f ? f[rule.along == Along::row ? i : 0] : 1.0f;
      const float step = step_of(factor, slot.scale), keep = keep_of(factor);
      cpu::update(
          slot, i * cols, cols, rule.rounding, [=](int64_t) { return keep; }, [=](int64_t j) { return step * u[j]; });
    }
  });
}

}  // namespace rowan
