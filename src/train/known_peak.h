// What a machine's products were measured at before, so that a start need not measure them again: published figures,
// or $XDG_CACHE_HOME/rowan/products.json ($HOME/.cache where that is not set), by device, instructions, threads, ranks
// and version. Delete the file to measure anew.
#pragma once

#include <optional>

#include "kernels/backend.h"

namespace rowan {

// FLOP/s of one of `ranks`.
std::optional<double> known_peak(const Backend& backend, DType dtype, int ranks);
// A file that cannot be written is none.
void keep_peak(const Backend& backend, DType dtype, int ranks, double rate);

}  // namespace rowan
