// Rates of matrix products that need no new measurement, because they are published or were measured before. A
// measurement is stored in $XDG_CACHE_HOME/rowan/products.json, or in $HOME/.cache/rowan/products.json if the first
// variable is not an absolute path. The key of a measurement consists of Backend::describe(), dtype, number of ranks
// and Rowan's version. Delete the file to measure again.
#pragma once

#include <optional>

#include "base/dtype.h"

namespace rowan {

class Backend;

// FLOP/s of matrix products on one rank while `ranks` ranks compute at the same time, if known.
std::optional<double> known_peak(const Backend& backend, DType dtype, int ranks);
// Stores a measured rate. Failure to write the file is ignored.
void keep_peak(const Backend& backend, DType dtype, int ranks, double rate);

}  // namespace rowan
