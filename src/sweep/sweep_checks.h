// Mistakes in the cells of a sweep that can be found before a run starts.
#pragma once

#include "sweep/sweep_file.h"

namespace rowan {

// Throws Error for a cell whose runs cannot run or whose results could not be told from others. With `needs_data`, also
// for missing files. Sets Cell::own if tune.factors is given.
void check_cells(SweepConfig& sweep, bool needs_data);

}  // namespace rowan
