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

// The number of threads for this rank, at least 1. A core that n ranks may use counts as 1/n for each of them. The sum
// over the cores of a rank is rounded down. All ranks must call this function.
int threads_of_rank(Communicator& communicator);

std::string machine_name();

}  // namespace rowan
