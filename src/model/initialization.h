// "initialization": what parameters start as, where a model does not leave it to its family's rule.
//
// A list of {"roles": [...], "names": [...], "distribution": D, ...}; a parameter takes the first entry that speaks of
// it (model/selection.h).
//   zero
//   normal   with standard deviation "std", or "gain" / sqrt(fan_in)
//   uniform  between -"bound" and "bound", or +-"gain" / sqrt(fan_in): 1 is PyTorch's own for linear layers
// fan_in is the number of inputs of the linear layer that a matrix or a bias belongs to.
#pragma once

#include <optional>
#include <vector>

#include "model/selection.h"

namespace rowan {

struct InitialRule : Selection {
  enum class Distribution : uint8_t { zero, normal, uniform };

  Distribution distribution = Distribution::zero;
  double scale = 0;     // standard deviation, bound, or gain
  bool fan_in = false;  // scale is a gain
};

// The list at `key`, which may be absent. Throws Error naming the field.
std::vector<InitialRule> parse_initialization(JsonObject& object, const char* key);

// Sets the parameter's distribution to that of the first rule which speaks of it; returns that rule's number. `fan_in`:
// 0 where the parameter belongs to no linear layer; a rule that needs one then throws Error.
std::optional<size_t> apply_initialization(const std::vector<InitialRule>& rules, Parameter& parameter, int64_t fan_in);

// Initial values of a parameter: a pure function of (seed, name, element). Writes elements [begin, begin + count) as
// f32.
void initial_values(const Parameter& parameter, uint64_t seed, int64_t begin, int64_t count, float* values);

}  // namespace rowan
