// How much memory is available to this process.
#pragma once

#include <cstddef>

namespace rowan {

// The bytes that the kernel reports as available plus free swap, but at most what the control group (cgroup v2) of this
// process has left; SIZE_MAX if neither is known.
size_t available_memory();

}  // namespace rowan
