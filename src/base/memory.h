// How much memory this machine can still give.
#pragma once

#include <cstddef>

namespace rowan {

// Bytes that the kernel calls available, swap included, within the limit of this process's control group (cgroup v2);
// SIZE_MAX where neither is known.
size_t available_memory();

}  // namespace rowan
