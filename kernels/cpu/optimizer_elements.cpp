// Optimizer operations that work element by element: adamw, momentum, sign, second_moment and apply. AdamW moves 30
// bytes per parameter with bf16 weights: it reads gradient, both moments and master in fp32, and writes moments, master
// and weight. Lower bound on the time: this traffic at the rate of a copy.
#include <tuple>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/optimizer_pieces.h"

namespace rowan {
using namespace cpu;

namespace {

std::vector<Piece> element_pieces(const std::vector<OptimizerSlot>& slots) {
  return cut(
      slots.size(), [&](size_t s) { return slots[s].weight.numel(); }, [](size_t) { return element_grain; });
}

// Calls fn(slot, begin, count) for blocks of at most `block` elements, in parallel over pieces.
template <typename F>
void for_blocks(ThreadPool& threads, const std::vector<Piece>& pieces, F fn) {
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
      float mean = rule.first.keep * m[j] + rule.first.take * gradient;
      float square = rule.second.keep * v[j] + rule.second.take * gradient * gradient;
      m[j] = mean;
      v[j] = square;
      u[j] = rule.step * mean / (rule.root_scale * std::sqrt(square) + rule.eps);
    }
    close(slot.first, begin, count, m);
    close(slot.second, begin, count, v);
    const float keep = 1.0f - rule.decay, scale = slot.scale;
    update(
        slot, begin, count, rule.rounding, rule.mask, [=](int64_t) { return keep; },
        [=](int64_t j) { return scale * u[j]; });
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
    for (int64_t j = 0; j < end - begin; ++j) u[j] = u[j] > 0.0f ? 1.0f : u[j] < 0.0f ? -1.0f : u[j];
    close(x, begin, end - begin, u);
  });
}

void CpuBackend::do_second_moment(Tensor update, const std::vector<OptimizerSlot>& slots,
                                  const SecondMomentRule& rule) {
  const int64_t size = slots.empty() ? 0 : slots[0].second.numel();
  for_blocks(threads_, element_pieces(slots), [&](int64_t s, int64_t begin, int64_t count) {
    alignas(64) float buffers[3][block];
    float* u = open(update, s * size + begin, count, buffers[0]);
    float* v = open(slots[s].second, begin, count, buffers[1]);
    const float* x = rule.of_gradient ? open(slots[s].gradient, begin, count, buffers[2]) : u;
    const float scale = rule.of_gradient ? rule.grad_scale : 1.0f;
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) {
      const float value = scale * x[j];
      const float square = rule.second.keep * v[j] + rule.second.take * value * value;
      v[j] = square;
      u[j] /= rule.root_scale * std::sqrt(square) + rule.eps;
    }
    close(slots[s].second, begin, count, v);
    close(update, s * size + begin, count, u);
  });
}

void CpuBackend::do_apply(Tensor update, const std::vector<OptimizerSlot>& slots, Tensor factors, Tensor keeps,
                          const ApplyRule& rule) {
  const int64_t rows = update.dim(1), cols = update.dim(2);
  const int64_t width = rule.along == Along::row ? rows : rule.along == Along::column ? cols : 1;
  auto step_of = [&](float f, float scale) {
    return std::min(rule.lr * f * scale, rule.cap) / (rule.rounded ? scale : 1.0f);
  };
  auto keep_of = [&](float f, float scale) {
    const float rate = rule.adaptive_decay ? std::min(rule.lr * f, rule.cap) : rule.lr;
    return 1.0f - at_most(rule.weight_decay * rate * (rule.scaled_decay ? scale : 1.0f), 1.0f);
  };
  const std::vector<Piece> pieces = cut(
      slots.size(), [&](size_t) { return rows; }, [&](size_t) { return rows_per_piece(cols); });
  parallel_for(threads_, static_cast<int64_t>(pieces.size()), [&](int64_t p) {
    const Piece& piece = pieces[p];
    const OptimizerSlot& slot = slots[piece.slot];
    // Returns the step size and the fraction of the weights to keep, for row, column or matrix i.
    auto sizes = [&](int64_t i) {
      const int64_t at = piece.slot * width + i;
      const float f = factors.empty() ? 1.0f : factors.as<float>()[at];
      return std::pair(step_of(f, slot.scale), keeps.empty() ? keep_of(f, slot.scale) : keeps.as<float>()[at]);
    };
    float* memory = lines(3 * cols);
    float *steps = memory + cols, *kept = memory + 2 * cols;
    const bool by_column = rule.along == Along::column && !(factors.empty() && keeps.empty());
    if (by_column)
      for (int64_t j = 0; j < cols; ++j) std::tie(steps[j], kept[j]) = sizes(j);
    for (int64_t i = piece.begin; i < piece.begin + piece.count; ++i) {
      const float* u = open(update, (piece.slot * rows + i) * cols, cols, memory);
      if (rule.rounded) {
        const float scale = slot.scale;
#pragma omp simd
        for (int64_t j = 0; j < cols; ++j) memory[j] = cpu::rounded(scale * u[j]);
        u = memory;
      }
      auto write = [&](auto keep, auto step) {
        cpu::update(slot, i * cols, cols, rule.rounding, rule.mask, keep, step, rule.decay_last);
      };
      if (by_column) {
        write([=](int64_t j) { return kept[j]; }, [=](int64_t j) { return steps[j] * u[j]; });
        continue;
      }
      const auto [step, keep] = sizes(rule.along == Along::row ? i : 0);
      write([keep = keep](int64_t) { return keep; }, [u, step = step](int64_t j) { return step * u[j]; });
    }
  });
}

}  // namespace rowan
