// Declares the communicator and the backend of a multi-rank test program. main() creates both, and all tests share
// them. The same tests run with the CPU backend and with the CUDA backend, emulated or on GPUs.
#pragma once

#include "comm/communicator.h"
#include "kernels/backend.h"

namespace rowan {

Communicator& ranks();
Backend& backend();
// The backend that the program was linked with.
std::unique_ptr<Backend> make_rank_backend();

}  // namespace rowan
