// Rendezvous: one small message from rank 0 to all before any communicator exists, for launchers without MPI.
#pragma once

#include <string>

#include "dist/communicator.h"

namespace rowan {

// Returns rank 0's `message` on every rank; the others give one of the same length. `address` says how it travels:
//   file:PATH       a file that all ranks can reach; the Slurm step is added to its name, and it is removed again
//   tcp:HOST:PORT   rank 0 listens there, the others connect
// Throws Error when the address is malformed or the ranks do not come together within `timeout_seconds`.
std::string share_from_rank_0(const Launch& launch, const std::string& address, const std::string& message,
                              double timeout_seconds);

}  // namespace rowan
