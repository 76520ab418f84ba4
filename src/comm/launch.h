// How this process was launched: its rank, the name of its machine, and its number of threads.
#pragma once

#include <string>

namespace rowan {

class Communicator;

// The rank of this process, and the launcher whose environment variables give the rank: MPI (OpenMPI, MPICH, Intel
// MPI), Slurm, or none.
struct Launch {
  enum class Kind { alone, mpi, slurm };
  Kind kind = Kind::alone;
  int rank = 0, size = 1, local_rank = 0;
};
// Reads the environment. Throws Error when a variable is not a number from 0 to 1000000, or when the rank is not below
// the number of ranks.
Launch detect_launch();

// The number of threads for this rank, at least 1. A core that n ranks may use counts as 1/n for each of them. The sum
// over the cores of a rank is rounded down. All ranks must call this function.
int threads_of_rank(Communicator& communicator);

// The host name, by which machines are told apart.
std::string machine_name();

// The number of ranks on this machine. All ranks must call this function.
int ranks_on_machine(Communicator& communicator);

}  // namespace rowan
