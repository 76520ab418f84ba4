#include <algorithm>
#include <type_traits>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/vector.h"

namespace rowan {
namespace {

// A NaN loses every comparison, so it does not show here; the sum below carries it.
template <typename T>
float largest(const T* x, int64_t count) {
  float result = cpu::load(x[0]);
#pragma omp simd reduction(max : result)
  for (int64_t i = 0; i < count; ++i) {
    float value = cpu::load(x[i]);
    result = value > result ? value : result;
  }
  return result;
}

// to[i] = e^(x[i] - shift), which may be x itself, and their sum: short sums in float, their total in double.
template <typename T>
double exponentials(float* to, const T* x, float shift, int64_t count) {
  constexpr int64_t block = 1024;
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += block) {
    float part = 0;
#pragma omp simd reduction(+ : part)
    for (int64_t i = begin; i < std::min(count, begin + block); ++i) {
      to[i] = cpu::exp_nonpositive(cpu::load(x[i]) - shift);
      part += to[i];
    }
    total += static_cast<double>(part);
  }
  return total;
}

// `memory`: floats for the exponentials of a row that is not of floats itself or must stay.
template <typename T>
float row_loss(T* logits, float* memory, int64_t width, int64_t vocabulary, int32_t target, float grad_scale,
               bool gradient) {
  if (gradient) std::fill(logits + (target == -100 ? 0 : vocabulary), logits + width, T{});
  if (target == -100) return 0.0f;
  float shift = largest(logits, vocabulary), chosen = cpu::load(logits[target]);
  if constexpr (std::is_same_v<T, float>)
    if (gradient) memory = logits;
  double total = exponentials(memory, logits, shift, vocabulary);
  if (gradient) {
    float factor = static_cast<float>(static_cast<double>(grad_scale) / total);
    float probability = static_cast<float>(static_cast<double>(memory[target]) / total);
#pragma omp simd
    for (int64_t i = 0; i < vocabulary; ++i) cpu::store(logits[i], factor * memory[i]);
    cpu::store(logits[target], grad_scale * (probability - 1.0f));
  }
  return static_cast<float>(std::log(total) + static_cast<double>(shift) - static_cast<double>(chosen));
}

}  // namespace

void CpuBackend::do_cross_entropy(Tensor losses, Tensor logits, Tensor targets, int64_t vocabulary, float grad_scale,
                                  bool gradient) {
  const int32_t* ids = targets.as<int32_t>();
  int64_t width = logits.cols();
  cpu::with_dtype(logits.dtype, [&](auto type) {
    using T = decltype(type);
    int64_t grain = cpu::rows_per_piece(vocabulary);
    cpu::parallel_ranges(threads_, logits.rows(), grain, [&](int64_t begin, int64_t end) {
      float* memory = cpu::lines(vocabulary);
      for (int64_t n = begin; n < end; ++n)
        losses.as<float>()[n] =
            row_loss(logits.as<T>() + n * width, memory, width, vocabulary, ids[n], grad_scale, gradient);
    });
  });
}

}  // namespace rowan
