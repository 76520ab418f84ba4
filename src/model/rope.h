// Rotary position embedding (RoPE): which pairs of a head rotate, how fast, and in which direction.
#pragma once

#include <vector>

#include "base/section.h"

namespace rowan {

struct Rope {
  // Frequency of pair j of the n rotating pairs: `standard` theta^(-j / n); `endpoint` theta^(-j / (n - 1)), which ends
  // at 1 / theta.
  enum class Frequencies : uint8_t { standard, endpoint };

  double theta = 10000;
  double fraction = 1;  // fraction of the pairs that rotate; the last ones do not
  Frequencies frequencies = Frequencies::standard;
  int direction = 1;  // 1: (x1 cos - x2 sin, x2 cos + x1 sin); -1: rotate by -angle
  // LLaMA 3's scaling ("llama3"); factor 0: none. Frequencies with wavelengths (in positions) above original /
  // low_factor are divided by `factor`. Those with wavelengths below original / high_factor do not change, and those in
  // between are interpolated.
  double factor = 0, low_factor = 1, high_factor = 4, original = 8192;

  bool operator==(const Rope&) const = default;
};

constexpr auto names_of(Rope::Frequencies) { return enum_names("standard", "endpoint"); }

// Reads rope_scaling, or rope_parameters, into which transformers 5 writes theta and scaling. Throws Error naming the
// field.
Rope parse_rope_scaling(JsonObject& object);
// Visits rope_theta, rope_fraction, rope_frequencies and rope_direction.
void visit(Rope& rope, Section& keys);
// Throws Error naming the field if theta differs from that in rope_parameters, if `fraction` of a head's pairs is not a
// whole number of at least 1, or if the direction is 0.
void check_rope(JsonObject& object, const Rope& rope, int64_t head_dim);

// fp32[positions, head_dim]: cos, then sin, of the head_dim / 2 angles of each position.
std::vector<float> rope_table(const Rope& rope, int64_t positions, int64_t head_dim);

}  // namespace rowan
