// Share: the part of one parameter that this process updates. One process owns whole parameters; many ranks own
// elements (AdamW), rows (RMNP, Nora) or whole matrices (Newton-Schulz), as the optimizer's atom says.
#pragma once

#include <array>
#include <map>

#include "model/parameters.h"

namespace rowan {

// The smallest part of a parameter that its optimizer can update without seeing the rest.
enum class Atom : uint8_t { element, row, matrix };

struct Share {
  const Parameter* parameter = nullptr;
  int64_t begin = 0;  // first element within the parameter
  int64_t count = 0;  // number of elements
  Tensor weight;    // what the forward reads: f32 or bf16; [rows, in] if whole rows of a matrix are owned, else [count]
  Tensor master;    // f32 copy of a bf16 weight, empty when the weight itself is updated
  Tensor gradient;  // f32 or bf16, the gradient of the mean loss before clipping

  // The tensor that holds the weight in full precision.
  const Tensor& value() const { return master.empty() ? weight : master; }
  bool whole() const { return begin == 0 && count == parameter->numel(); }
};

// Sums over all elements of a parameter that are needed to update any part of it. Ranks add up the sums of their parts.
using ParameterSums = std::map<const Parameter*, std::array<double, 3>>;

}  // namespace rowan
