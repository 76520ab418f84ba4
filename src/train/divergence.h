// Phrases of the messages with which a run that diverged ends. rowan sweep finds them in a run's log and then does not
// repeat the run.
#pragma once

#include <string_view>

namespace rowan {

inline constexpr std::string_view says_not_finite = "the gradient was not finite for", says_ruined = "kept as ruined_";

}  // namespace rowan
