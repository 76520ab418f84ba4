#include "comm/transports.h"

#include <cstdlib>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "comm/agreement.h"
#include "kernels/backend.h"
#include "kernels/device_stream.h"

namespace rowan {

std::unique_ptr<Communicator> make_communicator(const Launch& launch) {
  if (launch.size == 1) return make_single_communicator();
  if (const char* address = std::getenv("ROWAN_RENDEZVOUS")) return make_tcp_communicator(launch, address);
  auto communicator = make_mpi_communicator();
  if (communicator->size() != launch.size) {
    fail_on_all("the launcher started {} ranks, but MPI sees {}: under srun choose --mpi=pmix or pmi2, or use mpirun",
                launch.size, communicator->size());
  }
  return communicator;
}

std::unique_ptr<Communicator> make_device_communicator(Communicator& host, Backend& backend) {
  const char* set = std::getenv("ROWAN_COMMUNICATOR");
  std::string choice = set ? set : "auto";
  // First of all: fail_on_all() is only for what is the same on every rank.
  check_same(host, "", {{"device", backend.name()}, {"ROWAN_COMMUNICATOR", choice}});
  if (choice != "auto" && choice != "mpi" && choice != "nccl") {
    fail_on_all("ROWAN_COMMUNICATOR: found '{}', expected auto, mpi or nccl", choice);
  }
  if (host.size() == 1 && choice != "nccl") return nullptr;
  const bool no_mpi = std::getenv("ROWAN_RENDEZVOUS");
  if (no_mpi && choice == "mpi")
    fail_on_all("ROWAN_COMMUNICATOR: found 'mpi', expected auto or nccl, because ROWAN_RENDEZVOUS works without MPI");
  bool nccl = choice == "nccl" || no_mpi;
  if (choice == "auto" && !no_mpi && stream_of(backend)) {
    std::vector<std::string> devices = host.gather(device_name_for_nccl());
    nccl = !devices[0].empty() && std::set<std::string>(devices.begin(), devices.end()).size() == devices.size();
  }
  if (!nccl) return nullptr;
  if (!stream_of(backend)) {
    fail_on_all("NCCL needs GPUs, but the device is {}; to use MPI, start with mpirun and without {}", backend.name(),
                no_mpi ? "ROWAN_RENDEZVOUS" : "ROWAN_COMMUNICATOR=nccl");
  }
  return make_nccl_communicator(host, backend);
}

}  // namespace rowan
