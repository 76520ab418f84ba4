// Merges pieces into fewer messages.
#pragma once

#include <vector>

#include "comm/communicator.h"

namespace rowan {

// Merges neighbors in the list if they are also neighbors in memory and have the same owner and dtype. Ranks with the
// same memory layout get the same result.
std::vector<Piece> merged(const std::vector<Piece>& pieces);

}  // namespace rowan
