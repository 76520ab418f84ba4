// The version of this program.
#pragma once

#include <string>

namespace rowan {

// The version, and the commit if the build was configured in a git checkout: "0.2.0 (5c8decf12345)".
std::string version();

}  // namespace rowan
