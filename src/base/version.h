// The version of this program.
#pragma once

#include <string>

namespace rowan {

// "0.2.0 (5c8decf12345)": the version, and the commit it was configured at where there is git.
std::string version();

}  // namespace rowan
