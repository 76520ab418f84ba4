// Communicator: what ranks say to each other, and nothing more. Every rank calls the same operations in the same order.
// Tensor operations are queued and finish at wait(); sums run in a fixed order, so two runs give the same bits.
// Implementations: one process, MPI (host memory, or device memory staged through it), NCCL (one GPU a rank).
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

// What this rank has sent, by kind. `control` are the small host messages.
enum class Message : uint8_t { reduce, broadcast, all_reduce, control };
inline constexpr int message_count = 4;
struct Traffic {
  std::array<uint64_t, message_count> calls{}, bytes{};

  uint64_t bytes_of(Message kind) const { return bytes[static_cast<int>(kind)]; }
  uint64_t calls_of(Message kind) const { return calls[static_cast<int>(kind)]; }
  // Without the control messages.
  uint64_t tensor_bytes() const;
};

// Names an operation that was queued; 0 is one that is done.
using Ticket = uint64_t;

class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  // Counts from 0 on each machine; chooses the GPU.
  int local_rank() const { return local_rank_; }
  // "one process", "MPI", "NCCL 2.28.9".
  virtual std::string describe() const = 0;

  // Tensors of later calls lie in this backend's memory; before, in host memory. The backend has to outlive the calls.
  virtual void attach(Backend& backend) = 0;

  // The sum over ranks of each piece arrives at its owner; what the others hold there is undefined afterwards. f32 or
  // bf16; over MPI they are added in fp32 and rounded once, NCCL rounds where it likes.
  Ticket reduce(const std::vector<Piece>& pieces);
  // Each piece is copied from its owner to all.
  Ticket broadcast(const std::vector<Piece>& pieces);
  // The sum over ranks, everywhere the same bits.
  Ticket all_reduce(Tensor x);
  // Returns when the operation and all queued before it are done: for host memory at once, for a device in the order of
  // its stream. Throws Error, or ends the process with exit code 2 and a message, when a rank is gone or silent for
  // longer than `timeout_seconds`.
  virtual void wait(Ticket ticket) = 0;

  // The given bytes of every rank, in rank order. Waits.
  std::vector<std::string> gather(const std::string& mine);
  // Element-wise sums over ranks in rank order, everywhere the same bits. Waits.
  std::vector<double> sum(const std::vector<double>& mine);
  void barrier() { gather(""); }

  // Ends all ranks with this exit code, without waiting for any.
  [[noreturn]] virtual void abort(int exit_code) = 0;

  // The silence check. When a wait times out, the rank pings all others. Ranks that are merely waiting answer with a
  // ping of their own; a rank that does not answer is reported as hung. NCCL's ranks ping over the communicator that
  // exchanged NCCL's id, from a watchdog thread. True when a ping of another rank has arrived since the last call.
  bool pinged();
  // Pings all ranks, prints one line with those that do not answer and the operation in which this one waits, and ends
  // all with exit code 2.
  [[noreturn]] void report_hung_ranks(const std::string& operation);

  const Traffic& traffic() const { return traffic_; }

  // How long a rank may be silent: timeout_from_environment() at the start.
  double timeout_seconds() const { return timeout_seconds_; }

 protected:
  Communicator(int rank, int size, int local_rank);
  virtual Ticket start_reduce(const std::vector<Piece>& pieces) = 0;
  virtual Ticket start_broadcast(const std::vector<Piece>& pieces) = 0;
  virtual Ticket start_all_reduce(Tensor x) = 0;
  virtual std::vector<std::string> gather_bytes(const std::string& mine) = 0;

  // The silence check's messages: whether this rank has a connection to that one; sending a ping; the sender of a ping
  // that has arrived, or -1. None of them waits.
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

// ROWAN_TIMEOUT in seconds; 300 when unset. Throws Error when it is no positive number.
double timeout_from_environment();

// How this process was started: by mpirun (OpenMPI, MPICH, Intel MPI) or Slurm's srun, or alone.
struct Launch {
  enum class Kind { alone, mpi, slurm };
  Kind kind = Kind::alone;
  int rank = 0, size = 1, local_rank = 0;
};
// Reads the environment. Throws Error when a variable is not a number or rank and size contradict each other.
Launch detect_launch();

// The cores this rank may run on, each shared evenly among the ranks that may run there too; at least 1. All ranks call
// it.
int threads_of_rank(Communicator& communicator);

// This machine, as others call it.
std::string machine_name();

// "rank 3", "ranks 1, 4-7".
std::string ranks_text(const std::vector<int>& ranks);

// One process; MPI under mpirun; TCP where ROWAN_RENDEZVOUS is set. Throws Error when the build has no MPI and the
// launch needs it.
std::unique_ptr<Communicator> make_communicator(const Launch& launch);
std::unique_ptr<Communicator> make_single_communicator();
// Plays rank `rank` of `size` for plans: sends nothing, receives nothing, counts the traffic.
std::unique_ptr<Communicator> make_dry_communicator(int rank, int size);
// Starts MPI; finalizes it when destroyed. Throws Error in a build without MPI.
std::unique_ptr<Communicator> make_mpi_communicator();
// Host messages only, for launchers without MPI. The ranks meet at
//   tcp:HOST:PORT   where rank 0 listens, or
//   file:PATH       in which rank 0 says where that is; the Slurm step is added to its name, and it is removed again.
// Ranks that do not come within timeout_seconds() are named in one line, and all others exit with code 2. Throws
// AgreedError when the address is malformed.
std::unique_ptr<Communicator> make_tcp_communicator(const Launch& launch, const std::string& address);

// NCCL among GPU backends. Its id travels through `host`. Throws Error in a build without NCCL.
std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, Backend& backend);
// NCCL when every rank has a GPU of its own; null when `host` is to be used, with device memory staged through it.
// ROWAN_COMMUNICATOR=nccl or mpi decides otherwise. `host` has to outlive the result.
std::unique_ptr<Communicator> make_device_communicator(Communicator& host, Backend& backend);

// [begin, end) of part `index` when `elements` are cut into `parts` parts of nearly equal size.
struct Range {
  int64_t begin, end;
};
Range equal_part(int64_t elements, int parts, int index);

}  // namespace rowan
