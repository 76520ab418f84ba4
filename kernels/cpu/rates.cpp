// Measures the rates of this level's tile products and the peak rate of a core (kernels/cpu_levels.h).
#include <time.h>

#include <algorithm>

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

}  // namespace
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
