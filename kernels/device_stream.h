// The stream on which a GPU backend queues its operations. Code that queues other work uses it to order that work.
#pragma once

namespace rowan {

class Backend;

// A cudaStream_t; null if the backend is not a GPU.
void* stream_of(Backend& backend);

}  // namespace rowan
