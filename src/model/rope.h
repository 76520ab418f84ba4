// Rotary position embedding (RoPE): which pairs of elements of a head rotate, how fast, and in which direction.
#pragma once

#include <vector>

#include "base/section.h"

namespace rowan {

struct Rope {
  // The frequency of pair j of the n rotating pairs. `standard`: theta^(-j / n). `endpoint`: theta^(-j / (n - 1)), so
  // the last pair has the frequency 1 / theta if n > 1.
  enum class Frequencies : uint8_t { standard, endpoint };

  double theta = 10000;
  double fraction = 1;  // fraction of a head's pairs that rotate, from the first on
  Frequencies frequencies = Frequencies::standard;
  int direction = 1;  // 1: (x1 cos - x2 sin, x2 cos + x1 sin); -1: rotates by the opposite angle
  // LLaMA 3's scaling of frequencies ("llama3"). If `factor` is 0, nothing is scaled. Wavelengths are in positions. A
  // frequency whose wavelength is above original / low_factor is divided by `factor`. A frequency whose wavelength is
  // below original / high_factor is kept. In between, the result is interpolated.
  double factor = 0, low_factor = 1, high_factor = 4, original = 8192;

  bool operator==(const Rope&) const = default;
};

constexpr auto names_of(Rope::Frequencies) { return enum_names("standard", "endpoint"); }

// Reads rope_scaling or rope_parameters. transformers 5 writes both theta and scaling into rope_parameters. Throws
// Error naming the field.
Rope parse_rope_scaling(JsonObject& object);
void visit(Rope& rope, Section& keys);
// Throws Error naming the field if theta differs from rope_parameters.rope_theta, if the number of rotating pairs is
// not a whole number of at least 1, or if the direction is 0.
void check_rope(JsonObject& object, const Rope& rope, int64_t head_dim);

// fp32[positions, head_dim]: cos, then sin, of the head_dim / 2 angles of each position.
std::vector<float> rope_table(const Rope& rope, int64_t positions, int64_t head_dim);

}  // namespace rowan
