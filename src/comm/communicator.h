// Communicator: messages between ranks. Every rank calls the same operations in the same order. Operations on tensors
// are queued, and wait() waits for them. comm/transports.h makes the implementations.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/tensor.h"

namespace rowan {

class Backend;

// A contiguous range of elements and the rank that owns it.
struct Piece {
  Tensor tensor;
  int owner = 0;
};

// The kinds of messages. `control` messages are the strings of gather(); the others are tensors.
enum class Message : uint8_t { reduce, broadcast, all_reduce, control };
inline constexpr int message_count = 4;

// Counts by kind of message: the calls that this rank has made, and the bytes that this rank would send if each message
// went directly to its receivers. NCCL and TCP may send other numbers of bytes.
struct Traffic {
  std::array<uint64_t, message_count> calls{}, bytes{};

  uint64_t bytes_of(Message kind) const { return bytes[static_cast<int>(kind)]; }
  uint64_t calls_of(Message kind) const { return calls[static_cast<int>(kind)]; }
  // The bytes of all kinds except `control`.
  uint64_t tensor_bytes() const;
};

// Identifies a queued operation. 0: there is nothing to wait for.
using Ticket = uint64_t;

class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  // The number of this rank among the ranks on its machine, from 0.
  int local_rank() const { return local_rank_; }
  // The name of the transport, such as "one process", "MPI" or "NCCL 2.28.9".
  virtual std::string describe() const = 0;

  // Tells the communicator that tensors are in the memory of `backend`. Before this call, MPI expects tensors in host
  // memory. The backend must exist as long as the communicator is used.
  virtual void attach(Backend& backend) = 0;

  // Sums each piece over all ranks. The owner of a piece receives the sum in the piece; on the other ranks the piece is
  // undefined afterwards. Pieces are fp32 or bf16. MPI adds in fp32 and rounds the sum once. NCCL may round
  // intermediate sums.
  Ticket reduce(const std::vector<Piece>& pieces);
  // Copies each piece from its owner to all ranks.
  Ticket broadcast(const std::vector<Piece>& pieces);
  // Replaces x by its sum over all ranks, with the same bits on every rank.
  Ticket all_reduce(Tensor x);
  // Waits for the operation and for all operations queued before it. With MPI, the host waits. With NCCL, the device's
  // stream waits and the host does not. If an operation makes no progress for timeout_seconds(), the run ends with a
  // message and exit code 2.
  virtual void wait(Ticket ticket) = 0;

  // Returns what each rank gave as `mine`, in rank order. Waits for all ranks.
  std::vector<std::string> gather(const std::string& mine);
  // Returns the element-wise sums of `mine`, added in rank order so that all ranks get the same bits. Waits for all
  // ranks.
  std::vector<double> sum(const std::vector<double>& mine);
  void barrier() { gather(""); }

  // Ends all ranks without waiting for them. This rank exits with `exit_code`.
  [[noreturn]] virtual void abort(int exit_code) = 0;

  // The check for hung ranks. A rank whose wait times out pings the ranks that it can reach. A pinged rank that also
  // waits answers with a ping. Ranks that do not answer are reported as silent. With NCCL, a watchdog thread sends and
  // receives the pings over MPI or TCP.

  // Receives at most one ping, without waiting. Returns whether there was one.
  bool pinged();
  // Pings the other ranks and waits for answers. Prints one line with the `operation` in which this rank waits, and
  // with the silent ranks if there are any. Ends all ranks with exit code 2.
  [[noreturn]] void report_hung_ranks(const std::string& operation);

  const Traffic& traffic() const { return traffic_; }

  // The time in seconds for which a rank may be silent: ROWAN_TIMEOUT, or 300 if it is unset or empty.
  double timeout_seconds() const { return timeout_seconds_; }

 protected:
  // Throws AgreedError (comm/agreement.h) when ROWAN_TIMEOUT is not a number above 0 and at most 1e8.
  Communicator(int rank, int size, int local_rank);
  virtual Ticket start_reduce(const std::vector<Piece>& pieces) = 0;
  virtual Ticket start_broadcast(const std::vector<Piece>& pieces) = 0;
  virtual Ticket start_all_reduce(Tensor x) = 0;
  virtual std::vector<std::string> gather_bytes(const std::string& mine) = 0;

  // The messages of the check for hung ranks. can_ping() says whether this rank can send pings to `other`. next_ping()
  // returns the sender of a ping that has arrived, or -1.
  virtual bool can_ping(int other) const { return other != rank_; }
  virtual void ping(int /*other*/) {}
  virtual int next_ping() { return -1; }

  // Seconds that this rank waits before it reports a lost rank: rank(), at most 10. A launcher such as mpirun ends all
  // ranks once one has failed, so usually only one rank prints a line.
  double turn_seconds() const { return rank_ < 10 ? rank_ : 10; }

 private:
  void count(Message kind, uint64_t bytes);

  int rank_, size_, local_rank_;
  double timeout_seconds_;
  std::vector<bool> answered_;  // by rank: whether a ping from that rank has arrived
  Traffic traffic_;
};

// Elements [begin, end).
struct Range {
  int64_t begin, end;
};
// The range of part `index` when `elements` are divided into `parts` nearly equal parts. Parts may be empty.
Range equal_part(int64_t elements, int parts, int index);

}  // namespace rowan
