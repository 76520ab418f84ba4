// Known rates of matrix products, so that a start need not measure them again. They are published figures or earlier
// measurements. Measurements are stored in $XDG_CACHE_HOME/rowan/products.json ($HOME/.cache if that variable is not
// set), by device, instruction set, threads, dtype, ranks and version. Delete the file to measure again.
#pragma once

#include <optional>

#include "base/dtype.h"

namespace rowan {

class Backend;

// FLOP/s of one rank while `ranks` ranks compute at the same time, if known.
std::optional<double> known_peak(const Backend& backend, DType dtype, int ranks);
// Stores a measured rate. Failure to write the file is ignored.
void keep_peak(const Backend& backend, DType dtype, int ranks, double rate);

}  // namespace rowan
