// The implementations of Communicator, and the choice between them.
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/launch.h"

namespace rowan {

// With one rank, makes the communicator of a single process. With more ranks, makes a TCP communicator if
// ROWAN_RENDEZVOUS is set, else an MPI communicator. Throws AgreedError if MPI is needed but the build has no MPI, or
// if MPI's number of ranks is not launch.size. For TCP, see make_tcp_communicator().
std::unique_ptr<Communicator> make_communicator(const Launch& launch);
// Returns an NCCL communicator, or null. With null, the caller uses `host`, which copies device memory through host
// memory. NCCL is chosen if ROWAN_COMMUNICATOR is nccl. With several ranks, it is also chosen in two other cases:
//   ROWAN_RENDEZVOUS is set;
//   ROWAN_COMMUNICATOR is unset or auto, every rank has a GPU of its own, and the build has NCCL.
// Throws AgreedError if the devices or ROWAN_COMMUNICATOR differ between ranks, if ROWAN_COMMUNICATOR is set but is not
// auto, mpi or nccl, or if NCCL is chosen for a device that is not a GPU. `host` must outlive the result.
std::unique_ptr<Communicator> make_device_communicator(Communicator& host, Backend& backend);

std::unique_ptr<Communicator> make_single_communicator();
// Rank `rank` of `size` simulated ranks, for `rowan plan`: sends and receives nothing, and counts the traffic.
std::unique_ptr<Communicator> make_dry_communicator(int rank, int size);

// Starts MPI. The communicator's destructor finalizes MPI, except during an exception. Throws AgreedError in a build
// without MPI.
std::unique_ptr<Communicator> make_mpi_communicator();

// TCP, for launchers without MPI. Sends no tensors. `address` is where the ranks meet:
//   tcp:HOST:PORT   rank 0 listens there;
//   file:PATH       rank 0 writes its addresses to the file PATH.JOB.STEP (Slurm's job and step numbers, or 0), and
//                   removes the file when all ranks have connected or timeout_seconds() have passed.
// If some ranks have not connected within timeout_seconds(), rank 0 prints a line that names them, and the ranks exit
// with code 2. Throws AgreedError when the address is malformed, or when tcp: is used without a secret,
// and Error when the file of the secret cannot be read (comm/rendezvous.h).
std::unique_ptr<Communicator> make_tcp_communicator(const Launch& launch, const std::string& address);

// NCCL, with one GPU for each rank. `host` distributes NCCL's id to all ranks. Throws AgreedError in a build without
// NCCL.
std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, Backend& backend);
// The name of this rank's machine and GPU. Two ranks with the same name share a GPU and cannot use NCCL. "" in a build
// without NCCL.
std::string device_name_for_nccl();

}  // namespace rowan
