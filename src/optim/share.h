// Share: the part of one parameter that this process updates. It is the whole parameter or, if the parameter is divided
// among ranks, a range of its elements (for AdamW), of its rows (for RMNP and Nora) or of its blocks. The recipe's atom
// says how a parameter may be divided.
#pragma once

#include <array>
#include <map>

#include "model/parameters.h"

namespace rowan {

// The smallest part of a parameter that its optimizer can update without the rest of the parameter.
enum class Atom : uint8_t { element, row, matrix };

struct Share {
  const Parameter* parameter = nullptr;
  int64_t begin = 0;  // first element within the parameter
  int64_t count = 0;  // number of elements
  Tensor weight;      // fp32 or bf16; [rows, in] if the share is whole rows, else [count]
  Tensor master;      // fp32 copy of a bf16 weight, empty when the weight itself is updated
  Tensor gradient;    // fp32 or bf16, the gradient of the mean loss before clipping

  // The tensor that the optimizer updates: the master if there is one, else the weight.
  const Tensor& value() const { return master.empty() ? weight : master; }
  bool whole() const { return begin == 0 && count == parameter->numel(); }
};

// Three sums over all elements of each parameter. AdamW with mars_gamma needs them to update any part of the parameter.
// Each rank computes the sums over its parts, and these are then added over the ranks.
using ParameterSums = std::map<const Parameter*, std::array<double, 3>>;

}  // namespace rowan
