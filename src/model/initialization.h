// "initialization": rules that replace the initial values of the model's family.
//
// It is a list of {"roles": [...], "names": [...], "distribution": D, ...}. The first entry that matches a parameter
// applies (model/selection.h). D is one of:
//   zero
//   normal   with standard deviation "std", or "gain" / sqrt(fan_in)
//   uniform  in [-b, b]; b is "bound", or "gain" / sqrt(fan_in); gain 1 is PyTorch's default for linear layers
// fan_in is the number of inputs of the linear layer to which a matrix or a bias belongs.
#pragma once

#include <optional>
#include <vector>

#include "model/selection.h"

namespace rowan {

class ThreadPool;

struct InitialRule : Selection {
  enum class Distribution : uint8_t { zero, normal, uniform };

  Distribution distribution = Distribution::zero;
  double scale = 0;     // standard deviation, bound, or gain
  bool fan_in = false;  // true: `scale` is a gain
};

// Parses the list at `key`, which may be absent. Throws Error naming the field.
std::vector<InitialRule> parse_initialization(JsonObject& object, const char* key);

// Sets the parameter's distribution by the first rule that matches the parameter. Returns the index of the rule, or
// nothing if none matches. `fan_in` is 0 if the parameter belongs to no linear layer; a rule with a gain then throws
// Error.
std::optional<size_t> apply_initialization(const std::vector<InitialRule>& rules, Parameter& parameter, int64_t fan_in);

// Writes elements [begin, begin + count) of a parameter's initial values as fp32. Each value is a pure function of the
// seed, the parameter's name and distribution, and the element's index.
void initial_values(const Parameter& parameter, uint64_t seed, int64_t begin, int64_t count, float* values,
                    ThreadPool& threads);

}  // namespace rowan
