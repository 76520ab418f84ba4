// A run that diverged ends with a message that contains one of these phrases. If rowan sweep finds one of them in a
// run's last message, it does not repeat that run.
#pragma once

#include <string_view>

namespace rowan {

inline constexpr std::string_view says_not_finite = "the gradient was not finite for", says_ruined = "kept as ruined_";

inline bool says_diverged(std::string_view message) {
  return message.find(says_not_finite) != message.npos || message.find(says_ruined) != message.npos;
}

}  // namespace rowan
