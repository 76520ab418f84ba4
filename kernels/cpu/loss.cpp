// Cross-entropy of one row at a time, in three passes: maximum, exponentials with their sum, gradient. If a row stays
// in cache between the passes, each logit is read from memory once and, with a gradient, written once. Lower bounds on
// the time: this memory traffic at the rate of a copy, and one exponential per logit. What was tried:
// 1. Loading the logits of the first pass as vectors. Before, with AVX2, GCC copied each vector through memory with two
// narrower stores, and the load that followed had to wait for both stores. With 257 logits per row, vector loads made
// cross-entropy 1.9 to 2.2 times as fast with AVX2, and 1.04 to 1.11 times with AVX-512 (BENCHMARKS.md).
// 2. Prefetching the next row in the second pass, which computes, whereas the others wait for memory. Rows of 50257
// logits that are not in cache take 0.95 (v4) and 0.83 (v3) of the time without it (BENCHMARKS.md).
// 3. Keeping the exponentials of the second pass for the gradient, so that they are not computed twice.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/tile.h"
#include "kernels/cpu/vector.h"

namespace rowan {
namespace {

// The largest of x[0, count). A NaN among them may be ignored, because comparisons with NaN are false. If there is a
// NaN, exponentials() returns NaN.
template <typename T>
float largest(const T* x, int64_t count) {
  float result = cpu::load(x[0]);
  int64_t i = 0;
  // Written with vectors, because clang does not vectorize a maximum of floats.
  cpu::Vector most = cpu::Vector{} + result;
  for (; i + cpu::lanes <= count; i += cpu::lanes) {
    const cpu::Vector next = cpu::load_vector(x + i);
    most = next > most ? next : most;
  }
  result = std::max(result, cpu::largest_lane(most));
  for (; i < count; ++i) result = std::max(result, cpu::load(x[i]));
  return result;
}

// Plain: no soft cap. Capped: the soft cap of LossRule. value(x) is the logit x after the cap, and slope(x) the
// derivative of value.
struct Plain {
  float value(float x) const { return x; }
  float slope(float) const { return 1.0f; }
};
struct Capped {
  float cap;
  float ratio(float x) const { return cap / std::sqrt(x * x + cap * cap); }
  float value(float x) const { return x * ratio(x); }
  float slope(float x) const {
    const float r = ratio(x);
    return r * r * r;
  }
};

// to[i] = e^(z - shift), where z is the capped x[i]. Returns the sum of all to[i]: each block is summed in float, and
// the sums of blocks in double. `to` may be x itself. Prefetches the next row, which begins `width` values after x.
template <typename T, typename Cap>
double exponentials(float* to, const T* x, const Cap& cap, float shift, int64_t count, int64_t width) {
  constexpr int64_t block = 512;
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += block) {
    const int64_t end = std::min(count, begin + block);
    cpu::prefetch(x + width + begin, (end - begin) * int64_t{sizeof(T)});
    float part = 0;
#pragma omp simd reduction(+ : part)
    for (int64_t i = begin; i < end; ++i) {
      to[i] = cpu::exp_nonpositive(cap.value(cpu::load(x[i])) - shift);
      part += to[i];
    }
    total += static_cast<double>(part);
  }
  return total;
}

// Returns the loss of one row. `memory` receives the row's exponentials. If a gradient is computed from fp32 logits
// without a soft cap, the exponentials overwrite the logits instead.
template <typename T, typename Cap>
float row_loss(T* logits, float* memory, int64_t width, int32_t target, const LossRule& rule, const Cap& cap,
               float grad_scale, bool gradient) {
  const int64_t vocabulary = rule.vocabulary;
  if (gradient) std::fill(logits + (target == -100 ? 0 : vocabulary), logits + width, T{});
  if (target == -100) return 0.0f;
  const float logit = cpu::load(logits[target]), chosen = cap.value(logit),
              shift = cap.value(largest(logits, vocabulary));
  if constexpr (std::is_same_v<T, float> && std::is_same_v<Cap, Plain>)
    if (gradient) memory = logits;
  const double total = exponentials(memory, logits, cap, shift, vocabulary, width),
               log_sum = std::log(total) + static_cast<double>(shift);
  if (gradient) {
    // If z_loss is 0, the gradient does not use log_sum, so it need not wait for the logarithm.
    const double weight = rule.z_loss == 0 ? 1.0 : 1 + 2 * static_cast<double>(rule.z_loss) * log_sum;
    const auto factor = static_cast<float>(static_cast<double>(grad_scale) * weight / total);
    const auto probability = static_cast<float>(static_cast<double>(memory[target]) * weight / total);
#pragma omp simd
    for (int64_t i = 0; i < vocabulary; ++i)
      cpu::store(logits[i], factor * memory[i] * cap.slope(cpu::load(logits[i])));
    cpu::store(logits[target], grad_scale * (probability - 1.0f) * cap.slope(logit));
  }
  return static_cast<float>(log_sum - static_cast<double>(chosen));
}

}  // namespace

void CpuBackend::do_cross_entropy(Tensor losses, Tensor logits, Tensor targets, const LossRule& rule, float grad_scale,
                                  bool gradient) {
  const int32_t* ids = targets.as<int32_t>();
  const int64_t width = logits.cols(), grain = cpu::rows_per_piece(rule.vocabulary);
  cpu::with_dtype(logits.dtype, [&](auto type) {
    using T = decltype(type);
    auto rows = [&](const auto& cap) {
      cpu::parallel_ranges(threads_, logits.rows(), grain, [&](int64_t begin, int64_t end) {
        float* memory = cpu::lines(rule.vocabulary);
        for (int64_t n = begin; n < end; ++n)
          losses.as<float>()[n] =
              row_loss(logits.as<T>() + n * width, memory, width, ids[n], rule, cap, grad_scale, gradient);
      });
    };
    if (rule.softcap > 0)
      rows(Capped{rule.softcap});
    else
      rows(Plain{});
  });
}

}  // namespace rowan
