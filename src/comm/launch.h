// How this process was launched: as which rank, on which machine, with which cores.
#pragma once

#include <string>

namespace rowan {

class Communicator;

// The launcher of this process: mpirun (OpenMPI, MPICH, Intel MPI), Slurm's srun, or none.
struct Launch {
  enum class Kind { alone, mpi, slurm };
  Kind kind = Kind::alone;
  int rank = 0, size = 1, local_rank = 0;
};
// Reads the environment. Throws Error when a variable is not a number or a rank is not below the number of ranks.
Launch detect_launch();

// The number of threads for this rank, at least 1. Ranks that may run on the same core get equal parts of it, and the
// sum of the parts is rounded down. All ranks call it.
int threads_of_rank(Communicator& communicator);

// This machine's host name.
std::string machine_name();

}  // namespace rowan
