// Merging of pieces into fewer messages.
#pragma once

#include <vector>

#include "comm/communicator.h"

namespace rowan {

// Merges pieces that are neighbours in the list and in memory and have the same owner and dtype: fewer messages with
// the same bytes. Ranks with the same memory layout get the same result.
std::vector<Piece> merged(const std::vector<Piece>& pieces);

}  // namespace rowan
