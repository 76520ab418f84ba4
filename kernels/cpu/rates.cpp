// Measures this level's TileRates (kernels/cpu_levels.h), which are the rates of one core. Also measures the rate of
// exponentials on all threads.
#include <time.h>

#include <algorithm>

#include "kernels/ceiling.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/tile.h"
#include "kernels/cpu/vector.h"
#include "kernels/cpu_levels.h"

namespace rowan {
namespace {

using cpu::Vector;

// This thread's CPU time, which other processes hardly affect.
double seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// FLOP/s of the fastest of 50 runs of `work`, which executes `flops` FLOPs.
template <typename F>
double rate(double flops, F&& work) {
  double best = 0;
  for (int i = 0; i < 50; ++i) {
    const double start = seconds();
    work();
    best = std::max(best, flops / (seconds() - start));
  }
  return best;
}

// Updates enough independent sums to hide the latency of an instruction. Not inlined, so that the compiler cannot
// compute the sums in advance.
__attribute__((noinline)) void multiply_and_add(Vector* sums, int64_t times) {
  constexpr int count = 12;
  Vector s[count], factor = sums[count], term = sums[count + 1];
  std::copy(sums, sums + count, s);
  for (int64_t t = 0; t < times; ++t)
#pragma GCC unroll 12
    for (int i = 0; i < count; ++i) s[i] = s[i] * factor + term;
  std::copy(s, s + count, sums);
}

template <bool transpose_a>
double tile_rate() {
  constexpr int64_t size = 64, times = 100;
  alignas(64) static float a[size * size], b[size * size], c[size * size];
  return rate(2.0 * times * size * size * size, [] {
    for (int64_t t = 0; t < times; ++t) {
      cpu::tile_product<transpose_a>(c, size, a, size, b, size, size, size, size, false);
      asm volatile("" ::: "memory");
    }
  });
}

// Not inlined, so that the compiler cannot know the values.
__attribute__((noinline)) void exponentials(float* to, const float* from, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) to[i] = cpu::exp_nonpositive(from[i]);
}

}  // namespace

// Measures wall-clock time, not CPU time, because threads that share a core slow each other down, as in an operation.
double CpuBackend::exponential_rate() {
  constexpr int64_t pieces = 256, times = 64, count = 1024;
  const double taken = seconds_of(*this, [&] {
    threads_.run(pieces, [&](int64_t, int) {
      alignas(64) float from[count], to[count];
      for (int64_t i = 0; i < count; ++i) from[i] = -8.0f * static_cast<float>(i) / count;
      for (int64_t t = 0; t < times; ++t) {
        exponentials(to, from, count);
        asm volatile("" ::"r"(to) : "memory");  // keeps the compiler from leaving out a result that nothing reads
      }
    });
  });
  return static_cast<double>(pieces * times * count) / taken;
}

}  // namespace rowan

// Defines the function that kernels/cpu_levels.cpp calls: the factory's name followed by _rates.
#define ROWAN_RATES_OF(factory) factory##_rates
#define ROWAN_RATES(factory) ROWAN_RATES_OF(factory)
extern "C" void ROWAN_RATES(ROWAN_CPU_FACTORY)(rowan::TileRates& rates);
void ROWAN_RATES(ROWAN_CPU_FACTORY)(rowan::TileRates& rates) {
  constexpr int64_t times = 20000;
  static rowan::cpu::Vector sums[14];
  rates.peak = rowan::rate(2.0 * times * 12 * rowan::cpu::lanes, [] { rowan::multiply_and_add(sums, times); });
  rates.tile = rowan::tile_rate<false>();
  rates.transposed_tile = rowan::tile_rate<true>();
}
