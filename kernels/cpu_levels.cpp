#include "kernels/cpu_levels.h"

#include <cstdlib>

#include "base/error.h"
#include "base/names.h"
#include "kernels/backend.h"

// The two functions that kernels/cpu defines for a level.
#define ROWAN_DECLARE_LEVEL(level)                                   \
  extern "C" rowan::Backend* rowan_cpu_backend_##level(int threads); \
  extern "C" void rowan_cpu_backend_##level##_rates(rowan::TileRates& rates);
#define ROWAN_LEVEL(level, here) \
  { #level, here, rowan_cpu_backend_##level, rowan_cpu_backend_##level##_rates }

#ifdef __x86_64__
ROWAN_DECLARE_LEVEL(v2)
ROWAN_DECLARE_LEVEL(v3)
ROWAN_DECLARE_LEVEL(v4)
#else
ROWAN_DECLARE_LEVEL(baseline)
#endif

namespace rowan {
namespace {

struct Level {
  const char* name;
  bool here;
  Backend* (*make)(int threads);
  void (*measure)(TileRates& rates);
};

// Tests only some features of each level. A processor with these features is assumed to have the other features of the
// level too.
std::vector<Level> compiled_levels() {
#ifdef __x86_64__
  const bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
  const bool v3 =
      v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  return {ROWAN_LEVEL(v2, v2), ROWAN_LEVEL(v3, v3), ROWAN_LEVEL(v4, v4)};
#else
  return {ROWAN_LEVEL(baseline, true)};
#endif
}

Level find_level(const std::string& name) {
  for (const Level& level : compiled_levels()) {
    if (name != level.name) continue;
    if (!level.here)
      fail("ROWAN_ISA: found '{}', which this CPU cannot run; expected one of {}", name, join(cpu_levels()));
    return level;
  }
  fail("ROWAN_ISA: found '{}', expected one of {}", name, join(cpu_levels()));
}

}  // namespace

std::vector<std::string> cpu_levels() {
  std::vector<std::string> names;
  for (const Level& level : compiled_levels())
    if (level.here) names.push_back(level.name);
  return names;
}

std::unique_ptr<Backend> make_cpu_backend_at(const std::string& level, int threads) {
  return std::unique_ptr<Backend>(find_level(level).make(threads));
}

TileRates tile_rates(const std::string& level) {
  TileRates rates;
  find_level(level).measure(rates);
  return rates;
}

std::unique_ptr<Backend> make_cpu_backend(int threads) {
  const char* forced = std::getenv("ROWAN_ISA");
  const std::vector<std::string> levels = cpu_levels();
  if (levels.empty()) fail("this CPU lacks SSE4.2 or POPCNT; Rowan needs x86-64-v2 or later");
  return make_cpu_backend_at(forced && *forced ? forced : levels.back(), threads);
}

}  // namespace rowan
