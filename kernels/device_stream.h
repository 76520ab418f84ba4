// The stream that a GPU backend queues its operations on, for those who order other work around it.
#pragma once

#include "kernels/backend.h"

namespace rowan {

// A cudaStream_t; null when the backend is no GPU's.
void* stream_of(Backend& backend);

}  // namespace rowan
