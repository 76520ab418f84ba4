// Rotary positions of a model: which pairs of a head turn, how fast, and which way.
#pragma once

#include <vector>

#include "base/section.h"

namespace rowan {

struct Rope {
  // Of the n turning pairs: standard theta^(-j / n); endpoint theta^(-j / (n - 1)), both ends included.
  enum class Frequencies : uint8_t { standard, endpoint };

  double theta = 10000;
  double fraction = 1;  // of the pairs; the last ones stand still
  Frequencies frequencies = Frequencies::standard;
  int direction = 1;  // 1: (x1 cos - x2 sin, x2 cos + x1 sin); -1: by -angle
  // LLaMA 3's scaling ("llama3"), 0: none. Frequencies whose wave is longer than original / low_factor are divided by
  // `factor`, those shorter than original / high_factor stay, and those between are interpolated.
  double factor = 0, low_factor = 1, high_factor = 4, original = 8192;

  bool operator==(const Rope&) const = default;
};

constexpr auto names_of(Rope::Frequencies) { return enum_names("standard", "endpoint"); }

// What rope_scaling says, and rope_parameters, where transformers 5 writes theta and scaling. Throws Error naming the
// field.
Rope parse_rope_scaling(JsonObject& object);
// rope_theta, rope_fraction, rope_frequencies, rope_direction.
void visit(Rope& rope, Section& keys);
// Throws Error naming the field: a theta that is not that of rope_parameters, a fraction that leaves no whole number of
// pairs of a head.
void check_rope(JsonObject& object, const Rope& rope, int64_t head_dim);

// f32[positions, head_dim]: cos, then sin, of the head_dim / 2 angles of each position.
std::vector<float> rope_table(const Rope& rope, int64_t positions, int64_t head_dim);

}  // namespace rowan
