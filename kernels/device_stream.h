// The stream on which a GPU backend queues its operations, for code that must order other work around them.
#pragma once

#include "kernels/backend.h"

namespace rowan {

// A cudaStream_t; null if the backend is not a GPU.
void* stream_of(Backend& backend);

}  // namespace rowan
