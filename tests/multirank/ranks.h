// The ranks of a multi-rank test program and the memory of their tensors, started once in main() and shared by all
// tests. The same tests run over MPI with the CPU backend, and over NCCL or MPI with the emulated CUDA backend.
#pragma once

#include "comm/communicator.h"
#include "kernels/backend.h"

namespace rowan {

Communicator& ranks();
Backend& backend();
// The backend that the program was linked with.
std::unique_ptr<Backend> make_rank_backend();

}  // namespace rowan
