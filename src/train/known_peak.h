// Known rates of matrix products, so that a start need not measure them again. They are published figures, or earlier
// measurements in $XDG_CACHE_HOME/rowan/products.json ($HOME/.cache if that is not set), by device, instruction set,
// threads, ranks and version. Delete the file to measure anew.
#pragma once

#include <optional>

#include "kernels/backend.h"

namespace rowan {

// FLOP/s of one of `ranks` ranks, if known.
std::optional<double> known_peak(const Backend& backend, DType dtype, int ranks);
// Stores a measured rate; failure to write the file is ignored.
void keep_peak(const Backend& backend, DType dtype, int ranks, double rate);

}  // namespace rowan
