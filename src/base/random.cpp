#include "base/random.h"

#include <cmath>

namespace rowan {

uint64_t Random::next_u64() {
  Philox draw = philox(key_, counter_++, stream_);
  return static_cast<uint64_t>(draw.word[0]) | static_cast<uint64_t>(draw.word[1]) << 32;
}

double Random::uniform() { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }

uint64_t Random::below(uint64_t bound) {
  uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
  uint64_t draw = next_u64();
  while (draw >= limit) draw = next_u64();
  return draw % bound;
}

double Random::normal() {
  double u = 1.0 - uniform(), v = uniform();
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * 3.14159265358979323846 * v);
}

}  // namespace rowan
