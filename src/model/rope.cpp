#include "model/rope.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/json.h"

namespace rowan {
namespace {

// `object` is rope_scaling or rope_parameters. rope_parameters may omit the type; it is then `fallback`.
void parse_scaling(JsonObject& object, Rope& rope, std::optional<std::string> fallback) {
  std::optional<std::string> type;
  for (const char* key : {"rope_type", "type"}) {  // "type" in older files
    if (!object.has(key)) continue;
    const std::string found = object.choice(key, {"default", "llama3"});
    if (type && found != *type)
      object.fail(key, fmt::format("found '{}', expected '{}' as in rope_type", found, *type));
    type = found;
  }
  if (!type) type = object.choice("rope_type", {"default", "llama3"}, std::move(fallback));
  if (type == "default") return;
  rope.factor = object.number("factor", {}, 1);
  rope.low_factor = object.number("low_freq_factor", {}, 0);
  rope.high_factor = object.number("high_freq_factor", {}, 0);
  rope.original = static_cast<double>(object.integer("original_max_position_embeddings", {}, 1, int64_t{1} << 31));
  if (!(rope.high_factor > rope.low_factor))
    object.fail("high_freq_factor",
                fmt::format("found {}, expected more than low_freq_factor {}", rope.high_factor, rope.low_factor));
}

double scaled(double frequency, const Rope& rope) {
  if (rope.factor == 0 || frequency == 0) return frequency;
  const double turns = rope.original * frequency / 6.283185307179586;  // full turns within the original context length
  if (turns < rope.low_factor) return frequency / rope.factor;
  if (turns > rope.high_factor) return frequency;
  const double smooth = (turns - rope.low_factor) / (rope.high_factor - rope.low_factor);
  return (1 - smooth) * frequency / rope.factor + smooth * frequency;
}

}  // namespace

Rope parse_rope_scaling(JsonObject& object) {
  Rope rope;
  if (object.has("rope_parameters")) {
    JsonObject parameters = object.object("rope_parameters");
    parse_scaling(parameters, rope, "default");
    rope.theta = parameters.number("rope_theta", object.number("rope_theta", rope.theta, 1), 1);
    if (parameters.has("partial_rotary_factor") && parameters.number("partial_rotary_factor") != 1)
      parameters.fail("partial_rotary_factor", "expected 1: nothing else is implemented");
    parameters.finish();
  }
  if (object.has("rope_scaling") && !object.raw("rope_scaling").is_null()) {
    if (rope.factor > 0)
      object.fail("rope_scaling", "conflicts with rope_parameters, which also scales; give one of them");
    JsonObject scaling = object.object("rope_scaling");
    parse_scaling(scaling, rope, {});
    scaling.finish();
  }
  return rope;
}

void visit(Rope& rope, Section& keys) {
  keys.number({.name = "rope_theta", .help = "base of the frequencies"}, rope.theta, 1,
              std::numeric_limits<double>::max());
  Json scaling;
  if (rope.factor > 0)
    scaling = {{"rope_type", "llama3"},
               {"factor", rope.factor},
               {"low_freq_factor", rope.low_factor},
               {"high_freq_factor", rope.high_factor},
               {"original_max_position_embeddings", static_cast<int64_t>(rope.original)}};
  keys.other({.name = "rope_scaling",
              .help = "null, or `{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, "
                      "\"high_freq_factor\": 4, \"original_max_position_embeddings\": 8192}`: frequencies are "
                      "divided by `factor` if they turn fewer than `low_freq_factor` times in the original positions, "
                      "kept above `high_freq_factor`, and interpolated between",
              .absent = "none"},
             scaling);
  keys.other(
      {.name = "rope_parameters", .help = "`rope_theta` and scaling in one object, as transformers 5 writes them"}, {});
  keys.number({.name = "rope_fraction",
               .help = "part of the `head_dim` / 2 pairs that are rotated, from the first on; pairs are always (j, j + "
                       "`head_dim` / 2)"},
              rope.fraction, 0, 1);
  keys.choice({.name = "rope_frequencies",
               .help = "of the n turning pairs: `standard` theta^(-j / n); `endpoint` theta^(-j / (n - 1))"},
              rope.frequencies);
  keys.integer<-1, 1>({.name = "rope_direction",
                       .help = "1: rotates to (x1 cos - x2 sin, x2 cos + x1 sin); -1: rotates by the opposite angle"},
                      rope.direction);
}

void check_rope(JsonObject& object, const Rope& rope, int64_t head_dim) {
  if (object.has("rope_parameters")) {
    const double inner = object.object("rope_parameters").number("rope_theta", rope.theta, 1);
    if (inner != rope.theta)
      object.fail("rope_theta",
                  fmt::format("found {}, expected {} as in rope_parameters.rope_theta", rope.theta, inner));
  }
  const double pairs = rope.fraction * static_cast<double>(head_dim) / 2;
  if (pairs < 0.5 || std::abs(pairs - std::round(pairs)) > 1e-9)
    object.fail("rope_fraction",
                fmt::format("found {}, which rotates {} of the {} values of a head, expected one or more whole pairs",
                            rope.fraction, 2 * pairs, head_dim));
  if (rope.direction == 0) object.fail("rope_direction", "found 0, expected 1 or -1");
}

std::vector<float> rope_table(const Rope& rope, int64_t positions, int64_t head_dim) {
  const int64_t half = head_dim / 2, turning = std::llround(rope.fraction * static_cast<double>(half));
  const int64_t steps = rope.frequencies == Rope::Frequencies::endpoint ? std::max<int64_t>(turning - 1, 1) : turning;
  std::vector<float> table(static_cast<size_t>(positions * head_dim));
  for (int64_t j = 0; j < half; ++j) {
    const double exponent = static_cast<double>(j) / static_cast<double>(steps);
    const double frequency = j < turning ? scaled(std::pow(rope.theta, -exponent), rope) : 0;
    for (int64_t t = 0; t < positions; ++t) {
      const double angle = rope.direction * static_cast<double>(t) * frequency;
      table[t * head_dim + j] = static_cast<float>(std::cos(angle));
      table[t * head_dim + half + j] = static_cast<float>(std::sin(angle));
    }
  }
  return table;
}

}  // namespace rowan
