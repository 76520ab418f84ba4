// Lists of ranks in messages.
#pragma once

#include <string>
#include <vector>

namespace rowan {

// "rank 3", "ranks 1, 4-7".
std::string ranks_text(const std::vector<int>& ranks);

}  // namespace rowan
