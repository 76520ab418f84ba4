#include <cstdlib>
#include <optional>
#include <set>

#include "base/error.h"
#include "dist/communicator.h"
#include "kernels/device_stream.h"

namespace rowan {

namespace {

std::optional<int> number(const char* variable) {
  const char* text = std::getenv(variable);
  if (!text || !*text) return {};
  char* end = nullptr;
  long value = std::strtol(text, &end, 10);
  if (*end || value < 0 || value > 1'000'000) fail("{} is '{}'; a rank or a number of ranks is wanted", variable, text);
  return static_cast<int>(value);
}

struct Convention {
  Launch::Kind kind;
  const char *rank, *size, *local_rank;
};

// The launcher nearest to the process comes first: mpirun inside a Slurm job sets both.
constexpr Convention conventions[] = {
    {Launch::Kind::mpi, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},
    {Launch::Kind::mpi, "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"},
    {Launch::Kind::slurm, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"},
};

}  // namespace

Launch detect_launch() {
  for (const Convention& names : conventions) {
    std::optional<int> rank = number(names.rank), size = number(names.size);
    if (!rank || !size) continue;  // SLURM_STEP_NUM_TASKS is set by srun, not in the batch script itself
    if (*rank >= *size) fail("{} is {}, but {} is {}", names.rank, *rank, names.size, *size);
    std::optional<int> local = number(names.local_rank);
    if (!local) local = number("SLURM_LOCALID");
    return {names.kind, *rank, *size, local.value_or(*rank)};
  }
  return {};
}

std::unique_ptr<Communicator> make_communicator(const Launch& launch) {
  if (launch.size == 1 || std::getenv("ROWAN_RENDEZVOUS")) return make_single_communicator();
  auto communicator = make_mpi_communicator();
  if (communicator->size() != launch.size) {
    fail("the launcher started {} ranks, but MPI sees {}: under srun choose --mpi=pmix or pmi2, or use mpirun",
         launch.size, communicator->size());
  }
  return communicator;
}

std::string device_name_for_nccl();

std::unique_ptr<Communicator> make_device_communicator(Communicator& host, const Launch& launch, Backend& backend) {
  const char* set = std::getenv("ROWAN_COMMUNICATOR");
  std::string choice = set ? set : "auto";
  if (choice != "auto" && choice != "mpi" && choice != "nccl") {
    fail("ROWAN_COMMUNICATOR is '{}'; one of auto, mpi, nccl", choice);
  }
  const bool no_mpi = launch.size > host.size();
  bool nccl = choice == "nccl" || no_mpi;
  if (choice == "auto" && host.size() > 1 && stream_of(backend)) {
    std::vector<std::string> devices = host.gather(device_name_for_nccl());
    nccl = !devices[0].empty() && std::set<std::string>(devices.begin(), devices.end()).size() == devices.size();
  }
  if (!nccl) return nullptr;
  if (!stream_of(backend)) fail("NCCL needs GPUs, but the device is {}; start the ranks by mpirun", backend.name());
  return make_nccl_communicator(host, launch, backend);
}

}  // namespace rowan
