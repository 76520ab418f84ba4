#include "comm/launch.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "base/error.h"
#include "comm/communicator.h"

namespace rowan {

namespace {

std::optional<int> number(const char* variable) {
  const char* text = std::getenv(variable);
  if (!text || !*text) return {};
  char* end = nullptr;
  long value = std::strtol(text, &end, 10);
  if (*end || value < 0 || value > 1'000'000)
    fail("{}: found '{}', expected a whole number from 0 to 1000000", variable, text);
  return static_cast<int>(value);
}

struct Convention {
  Launch::Kind kind;
  const char *rank, *size, *local_rank;
};

// Slurm comes last, because a rank that mpirun starts inside a Slurm job has the variables of both launchers.
constexpr Convention conventions[] = {
    {Launch::Kind::mpi, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},
    {Launch::Kind::mpi, "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"},
    {Launch::Kind::slurm, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"},
};

}  // namespace

Launch detect_launch() {
  for (const Convention& names : conventions) {
    std::optional<int> rank = number(names.rank), size = number(names.size);
    if (!rank || !size) continue;  // a Slurm batch script outside srun has a rank, but no SLURM_STEP_NUM_TASKS
    if (*rank >= *size) fail("{}: found {}, expected less than {}, which is {}", names.rank, *rank, names.size, *size);
    std::optional<int> local = number(names.local_rank);
    if (!local) local = number("SLURM_LOCALID");
    return {names.kind, *rank, *size, local.value_or(*rank)};
  }
  return {};
}

std::string machine_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

int ranks_on_machine(Communicator& communicator) {
  const std::string mine = machine_name();
  const std::vector<std::string> all = communicator.gather(mine);
  return static_cast<int>(std::count(all.begin(), all.end(), mine));
}

int threads_of_rank(Communicator& communicator) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  sched_getaffinity(0, sizeof cores, &cores);
  const std::string machine = machine_name();
  std::string mine = machine;
  mine.append(1, '\0').append(reinterpret_cast<const char*>(&cores), sizeof cores);
  double threads = 0;
  const std::vector<std::string> all = communicator.gather(mine);
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &cores)) continue;
    int users = 0;
    for (const std::string& other : all) {
      if (other.size() != mine.size() || other.c_str() != machine) continue;
      cpu_set_t theirs;
      std::memcpy(&theirs, other.data() + other.size() - sizeof theirs, sizeof theirs);
      users += CPU_ISSET(core, &theirs);
    }
    threads += 1.0 / users;
  }
  return std::max(1, static_cast<int>(threads + 1e-6));
}

}  // namespace rowan
