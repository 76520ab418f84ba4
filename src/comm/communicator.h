// Communicator: messages between ranks; it knows nothing of models. Every rank calls the same operations in the same
// order. Tensor operations are queued and finish at wait(); sums run in a fixed order, so two runs give the same bits.
// Implementations: one process, MPI (host memory, or device memory staged through it), NCCL (one GPU a rank), TCP
// (host messages only).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/tensor.h"

namespace rowan {

class Backend;

// A contiguous range of elements, and the rank that owns it.
struct Piece {
  Tensor tensor;
  int owner = 0;
};

// The messages this rank has sent, by kind. `control` messages are small and lie in host memory.
enum class Message : uint8_t { reduce, broadcast, all_reduce, control };
inline constexpr int message_count = 4;
struct Traffic {
  std::array<uint64_t, message_count> calls{}, bytes{};

  uint64_t bytes_of(Message kind) const { return bytes[static_cast<int>(kind)]; }
  uint64_t calls_of(Message kind) const { return calls[static_cast<int>(kind)]; }
  // Bytes of tensors, without control messages.
  uint64_t tensor_bytes() const;
};

// Identifies a queued operation; 0 is one that has finished.
using Ticket = uint64_t;

class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  // This rank's number among the ranks of its machine, from 0; selects the GPU.
  int local_rank() const { return local_rank_; }
  // A name for people: "one process", "MPI", "NCCL 2.28.9".
  virtual std::string describe() const = 0;

  // Tells the communicator that tensors lie in this backend's memory from now on; before, they lie in host memory. The
  // backend must outlive the calls.
  virtual void attach(Backend& backend) = 0;

  // Each owner receives the sum of its pieces over all ranks; on other ranks these pieces are undefined afterwards.
  // Pieces are f32 or bf16. MPI's sums are added in fp32 and rounded once; NCCL decides where it rounds.
  Ticket reduce(const std::vector<Piece>& pieces);
  // Copies each piece from its owner to all ranks.
  Ticket broadcast(const std::vector<Piece>& pieces);
  // Replaces x by its sum over ranks, with the same bits on every rank.
  Ticket all_reduce(Tensor x);
  // Waits for the operation and all queued before it: on the host for host memory, on the device's stream for device
  // memory. When a rank has exited or been silent for longer than `timeout_seconds`, throws Error or ends the process
  // with a message and exit code 2.
  virtual void wait(Ticket ticket) = 0;

  // Returns the given bytes of every rank, in rank order. Waits.
  std::vector<std::string> gather(const std::string& mine);
  // Returns element-wise sums, added in rank order so that all ranks get the same bits. Waits.
  std::vector<double> sum(const std::vector<double>& mine);
  void barrier() { gather(""); }

  // Ends all ranks with this exit code, without waiting for them.
  [[noreturn]] virtual void abort(int exit_code) = 0;

  // The silence check. When a wait times out, the rank pings all others. Ranks that are merely waiting answer with a
  // ping of their own; a rank that does not answer is reported as hung. NCCL's ranks ping over the communicator that
  // exchanged NCCL's id, from a watchdog thread. True when a ping of another rank has arrived since the last call.
  bool pinged();
  // Pings all ranks, prints one line with those that do not answer and the operation in which this one waits, and ends
  // all with exit code 2.
  [[noreturn]] void report_hung_ranks(const std::string& operation);

  const Traffic& traffic() const { return traffic_; }

  // The time for which a rank may be silent: timeout_from_environment() at construction.
  double timeout_seconds() const { return timeout_seconds_; }

 protected:
  Communicator(int rank, int size, int local_rank);
  virtual Ticket start_reduce(const std::vector<Piece>& pieces) = 0;
  virtual Ticket start_broadcast(const std::vector<Piece>& pieces) = 0;
  virtual Ticket start_all_reduce(Tensor x) = 0;
  virtual std::vector<std::string> gather_bytes(const std::string& mine) = 0;

  // The messages of the silence check. can_ping: whether this rank is connected to `other`. ping: sends a ping. The
  // third returns the sender of a ping that has arrived, or -1. None of them waits.
  virtual bool can_ping(int other) const { return other != rank_; }
  virtual void ping(int /*other*/) {}
  virtual int next_ping() { return -1; }

  // Delay before reporting a lost rank, staggered by rank. mpirun kills everyone once one rank exits, so this yields
  // exactly one error line.
  double turn_seconds() const { return rank_ < 10 ? rank_ : 10; }

 private:
  void count(Message kind, uint64_t bytes);

  int rank_, size_, local_rank_;
  double timeout_seconds_;
  std::vector<bool> answered_;  // ranks whose ping has arrived
  Traffic traffic_;
};

// ROWAN_TIMEOUT in seconds; 300 when unset. Throws Error when it is not a positive number.
double timeout_from_environment();

// The launcher of this process: mpirun (OpenMPI, MPICH, Intel MPI), Slurm's srun, or none.
struct Launch {
  enum class Kind { alone, mpi, slurm };
  Kind kind = Kind::alone;
  int rank = 0, size = 1, local_rank = 0;
};
// Reads the environment. Throws Error when a variable is not a number or rank and size contradict each other.
Launch detect_launch();

// The number of cores for this rank, at least 1: each core it may run on is divided evenly among the ranks that may run
// there. All ranks call it.
int threads_of_rank(Communicator& communicator);

// This machine's host name.
std::string machine_name();

// "rank 3", "ranks 1, 4-7".
std::string ranks_text(const std::vector<int>& ranks);

// Makes the communicator of a launch: one process, MPI under mpirun, or TCP if ROWAN_RENDEZVOUS is set. Throws Error if
// the launch needs MPI and the build has none.
std::unique_ptr<Communicator> make_communicator(const Launch& launch);
std::unique_ptr<Communicator> make_single_communicator();
// Simulates rank `rank` of `size` for plans: sends and receives nothing, and counts the traffic.
std::unique_ptr<Communicator> make_dry_communicator(int rank, int size);
// Starts MPI; finalizes it when destroyed. Throws Error in a build without MPI.
std::unique_ptr<Communicator> make_mpi_communicator();
// Host messages only, for launchers without MPI. The ranks meet at
//   tcp:HOST:PORT   where rank 0 listens, or
//   file:PATH       into which rank 0 writes where it listens; the Slurm step is appended to the name, and rank 0
//   removes
//                   the file when all have connected.
// When ranks do not connect within timeout_seconds(), one line names them and all others exit with code 2. Throws
// AgreedError when the address is malformed.
std::unique_ptr<Communicator> make_tcp_communicator(const Launch& launch, const std::string& address);

// NCCL among GPU backends. `host` carries NCCL's id to all ranks. Throws Error in a build without NCCL.
std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, Backend& backend);
// Returns an NCCL communicator if every rank has a GPU of its own, else null; the caller then uses `host`, which stages
// device memory through the host. ROWAN_COMMUNICATOR=nccl or mpi overrides this choice. `host` must outlive the result.
std::unique_ptr<Communicator> make_device_communicator(Communicator& host, Backend& backend);

// The range of part `index` if `elements` are cut into `parts` parts of nearly equal size.
struct Range {
  int64_t begin, end;
};
Range equal_part(int64_t elements, int parts, int index);

}  // namespace rowan
