// How much memory is available on this machine.
#pragma once

#include <cstddef>

namespace rowan {

// Available bytes according to the kernel, including swap, within the limit of this process's control group (cgroup
// v2); SIZE_MAX if neither is known.
size_t available_memory();

}  // namespace rowan
