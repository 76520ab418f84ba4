// Pieces as messages.
#pragma once

#include <vector>

#include "comm/communicator.h"

namespace rowan {

// Neighbours in the list and in memory that have the same owner and dtype become one piece: fewer messages of the same
// bytes. The same on all ranks whose memory is laid out alike.
std::vector<Piece> merged(const std::vector<Piece>& pieces);

}  // namespace rowan
