#include "comm/ranks_text.h"

#include <fmt/core.h>

namespace rowan {

std::string ranks_text(const std::vector<int>& ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (size_t begin = 0, end = 0; begin < ranks.size(); begin = end) {
    for (end = begin + 1; end < ranks.size() && ranks[end] == ranks[end - 1] + 1;) ++end;
    if (end < begin + 3) end = begin + 1;  // two consecutive ranks are listed one by one, not as a range
    text += fmt::format("{}{}", begin ? ", " : "", ranks[begin]);
    if (end > begin + 1) text += fmt::format("-{}", ranks[end - 1]);
  }
  return text;
}

}  // namespace rowan
