// The implementations of Communicator, and the choice between them.
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/launch.h"

namespace rowan {

// Makes the communicator of a launch: one process, TCP if ROWAN_RENDEZVOUS is set, else MPI. Throws Error if the launch
// needs MPI and the build has none.
std::unique_ptr<Communicator> make_communicator(const Launch& launch);
// Returns an NCCL communicator if every rank has its own GPU. Otherwise returns null; the caller then uses `host`,
// which copies device memory through the host. ROWAN_COMMUNICATOR=nccl or mpi overrides the choice. `host` must outlive
// the result.
std::unique_ptr<Communicator> make_device_communicator(Communicator& host, Backend& backend);

// A single process.
std::unique_ptr<Communicator> make_single_communicator();
// Rank `rank` of `size` simulated ranks, for plans: sends and receives nothing, and counts the traffic.
std::unique_ptr<Communicator> make_dry_communicator(int rank, int size);

// Starts MPI; the communicator's destructor finalizes it. Throws Error in a build without MPI.
std::unique_ptr<Communicator> make_mpi_communicator();

// Messages in host memory only, for launchers without MPI. `address` is where the ranks meet:
//   tcp:HOST:PORT   rank 0 listens there;
//   file:PATH       rank 0 writes its address to the file PATH.JOB.STEP (numbers of the Slurm job and step), and
//                   removes the file when all ranks have connected.
// If some ranks have not connected within timeout_seconds(), rank 0 prints a line that names them, and all ranks exit
// with code 2. Throws AgreedError when the address is malformed.
std::unique_ptr<Communicator> make_tcp_communicator(const Launch& launch, const std::string& address);

// NCCL among GPU backends. `host` distributes NCCL's id to all ranks. Throws Error in a build without NCCL.
std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, Backend& backend);
// Identifies the machine and GPU of this rank, because two ranks that share a GPU cannot use NCCL. "" in a build
// without NCCL.
std::string device_name_for_nccl();

}  // namespace rowan
