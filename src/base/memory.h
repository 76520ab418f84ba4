// How much memory is available to this process.
#pragma once

#include <cstddef>

namespace rowan {

// The smaller of two numbers of bytes: the machine's available memory plus free swap, and the memory that the control
// group (cgroup v2) of this process has left. An unknown number is ignored. SIZE_MAX if both are unknown.
size_t available_memory();

}  // namespace rowan
