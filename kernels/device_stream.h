// The stream on which a GPU backend queues its operations. Other code that queues GPU work, such as NCCL's messages,
// uses this stream to order its work before or after these operations.
#pragma once

namespace rowan {

class Backend;

// A cudaStream_t. Null if the backend does not use a GPU.
void* stream_of(Backend& backend);

}  // namespace rowan
