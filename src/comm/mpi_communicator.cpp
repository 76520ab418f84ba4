// Ranks over MPI. Sends and receives of tensors do not block. Their requests are polled, so a wait can time out when a
// rank hangs. The owner of a piece adds the contributions of the ranks in rank order. MPI has no bf16, so elements are
// sent as bytes, and this file adds them.
#include "comm/agreement.h"
#include "comm/transports.h"

#ifdef ROWAN_MPI

#include <mpi.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <thread>

#include "kernels/backend.h"

namespace rowan {

namespace {

using Bytes = std::unique_ptr<std::byte[]>;

// Data longer than this is sent as several messages, because MPI counts the bytes of a message in an int.
constexpr size_t message_bytes = 1u << 30;
// All messages of an operation have the tag `ticket % tags`, and pings have `ping_tag`. MPI guarantees tags up to
// 32767.
constexpr int tags = 30000, ping_tag = tags;

void add_to(float* sum, const float* x, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) sum[i] += x[i];
}

void add_to(float* sum, const bf16* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) sum[i] += to_float(x[i]);
}

// out = the sum of `parts`, added in the order of the list. `out` may be one of the parts.
template <typename T>
void sum_parts(T* out, const std::vector<const std::byte*>& parts, int64_t n) {
  constexpr int64_t block = 4096;
  float sum[block];
  for (int64_t begin = 0; begin < n; begin += block) {
    int64_t count = std::min(block, n - begin);
    std::fill_n(sum, count, 0.0f);
    for (const std::byte* part : parts) add_to(sum, reinterpret_cast<const T*>(part) + begin, count);
    if constexpr (std::is_same_v<T, float>) {
      std::copy_n(sum, count, out + begin);
    } else {
      for (int64_t i = 0; i < count; ++i) out[begin + i] = to_bf16(sum[i]);
    }
  }
}

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(int rank, int size, int local_rank) : Communicator(rank, size, local_rank) {}

  ~MpiCommunicator() override {
    // MPI_Finalize waits for all ranks. After an exception on this rank, the other ranks may never call it.
    if (std::uncaught_exceptions() == 0) MPI_Finalize();
  }

  std::string describe() const override { return "MPI"; }
  void attach(Backend& backend) override { backend_ = &backend; }

  void wait(Ticket ticket) override {
    auto start = std::chrono::steady_clock::now();
    while (!queue_.empty() && queue_.front().ticket <= ticket) {
      if (progress()) {
        start = std::chrono::steady_clock::now();
      } else {
        leave_if_late(start);
      }
    }
  }

  [[noreturn]] void abort(int exit_code) override {
    std::fflush(nullptr);
    MPI_Abort(MPI_COMM_WORLD, exit_code);
    std::_Exit(exit_code);
  }

 protected:
  Ticket start_reduce(const std::vector<Piece>& pieces) override {
    Operation& operation = enqueue("reduce");
    post_reduce(operation, pieces);
    return operation.ticket;
  }

  Ticket start_broadcast(const std::vector<Piece>& pieces) override {
    Operation& operation = enqueue("broadcast");
    post_broadcast(operation, pieces);
    return operation.ticket;
  }

  Ticket start_all_reduce(Tensor x) override {
    std::vector<Piece> pieces;
    Tensor flat = x.view({x.numel()});
    for (int owner = 0; owner < size(); ++owner) {
      Range part = equal_part(x.numel(), size(), owner);
      if (part.begin < part.end) pieces.push_back({flat.slice(part.begin, part.end - part.begin), owner});
    }
    Operation& operation = enqueue("all_reduce");
    post_reduce(operation, pieces);
    operation.then.push_back([this, pieces](Operation& self) { post_broadcast(self, pieces); });
    return operation.ticket;
  }

  std::vector<std::string> gather_bytes(const std::string& mine) override {
    wait(last_ticket_);
    const uint64_t length = mine.size();
    std::vector<uint64_t> lengths(size());
    MPI_Request request;
    MPI_Iallgather(&length, 1, MPI_UINT64_T, lengths.data(), 1, MPI_UINT64_T, MPI_COMM_WORLD, &request);
    finish(request);
    std::vector<std::string> result(size());
    // MPI counts bytes in int, so a round transfers at most INT_MAX / size() bytes of each rank.
    const uint64_t most = INT_MAX / static_cast<uint64_t>(size());
    for (uint64_t begin = 0; begin < *std::max_element(lengths.begin(), lengths.end()); begin += most) {
      std::vector<int> counts(size()), offsets(size() + 1, 0);
      for (int r = 0; r < size(); ++r) {
        counts[r] = static_cast<int>(std::min(most, lengths[r] - std::min(begin, lengths[r])));
        offsets[r + 1] = offsets[r] + counts[r];
      }
      std::string parts(offsets.back(), '\0');
      MPI_Iallgatherv(mine.data() + std::min(begin, length), counts[rank()], MPI_BYTE, parts.data(), counts.data(),
                      offsets.data(), MPI_BYTE, MPI_COMM_WORLD, &request);
      finish(request);
      for (int r = 0; r < size(); ++r) result[r].append(parts, offsets[r], counts[r]);
    }
    return result;
  }

  void ping(int other) override {
    MPI_Request request;
    MPI_Isend(nullptr, 0, MPI_BYTE, other, ping_tag, MPI_COMM_WORLD, &request);
  }

  int next_ping() override {
    int here = 0;
    MPI_Status status;
    MPI_Iprobe(MPI_ANY_SOURCE, ping_tag, MPI_COMM_WORLD, &here, &status);
    if (!here) return -1;
    MPI_Recv(nullptr, 0, MPI_BYTE, status.MPI_SOURCE, ping_tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    return status.MPI_SOURCE;
  }

 private:
  struct Operation {
    const char* name;
    Ticket ticket;
    std::vector<MPI_Request> requests;
    std::vector<std::function<void(Operation&)>> then;  // run when `requests` are done: addition, upload, broadcast
    std::vector<Bytes> memory;
  };

  // Adds an operation to the queue. Also polls the operations that are already queued, so that they progress between
  // waits.
  Operation& enqueue(const char* name) {
    progress();
    queue_.push_back({name, ++last_ticket_, {}, {}, {}});
    return queue_.back();
  }

  bool staged() const { return backend_ && !backend_->host_memory(); }

  std::byte* scratch(Operation& operation, size_t bytes) {
    operation.memory.push_back(std::make_unique_for_overwrite<std::byte[]>(bytes));
    return operation.memory.back().get();
  }

  void send(Operation& operation, const std::byte* data, size_t bytes, int to) {
    for (size_t begin = 0; begin < bytes; begin += message_bytes) {
      MPI_Isend(data + begin, static_cast<int>(std::min(message_bytes, bytes - begin)), MPI_BYTE, to, tag(operation),
                MPI_COMM_WORLD, &operation.requests.emplace_back());
    }
  }

  void receive(Operation& operation, std::byte* data, size_t bytes, int from) {
    for (size_t begin = 0; begin < bytes; begin += message_bytes) {
      MPI_Irecv(data + begin, static_cast<int>(std::min(message_bytes, bytes - begin)), MPI_BYTE, from, tag(operation),
                MPI_COMM_WORLD, &operation.requests.emplace_back());
    }
  }

  static int tag(const Operation& operation) { return static_cast<int>(operation.ticket % tags); }

  // The tensor's elements in host memory. If the tensor is on a device, this is a copy that the operation owns.
  std::byte* on_host(Operation& operation, Tensor tensor) {
    if (!staged()) return tensor.as<std::byte>();
    std::byte* copy = scratch(operation, tensor.bytes());
    backend_->download(copy, tensor);
    return copy;
  }

  void post_reduce(Operation& operation, const std::vector<Piece>& pieces) {
    for (const Piece& piece : pieces) {
      if (piece.tensor.dtype == DType::i32) throw std::logic_error("reduce: i32 tensors are not added");
      size_t bytes = piece.tensor.bytes();
      std::byte* mine = on_host(operation, piece.tensor);
      if (piece.owner != rank()) {
        send(operation, mine, bytes, piece.owner);
        continue;
      }
      std::vector<const std::byte*> parts;
      for (int r = 0; r < size(); ++r) {
        if (r == rank()) {
          parts.push_back(mine);
          continue;
        }
        std::byte* theirs = scratch(operation, bytes);
        receive(operation, theirs, bytes, r);
        parts.push_back(theirs);
      }
      operation.then.push_back([this, piece, mine, parts](Operation&) {
        if (piece.tensor.dtype == DType::f32) {
          sum_parts(reinterpret_cast<float*>(mine), parts, piece.tensor.numel());
        } else {
          sum_parts(reinterpret_cast<bf16*>(mine), parts, piece.tensor.numel());
        }
        if (staged()) backend_->upload(piece.tensor, mine);
      });
    }
  }

  void post_broadcast(Operation& operation, const std::vector<Piece>& pieces) {
    for (const Piece& piece : pieces) {
      size_t bytes = piece.tensor.bytes();
      if (piece.owner == rank()) {
        const std::byte* data = on_host(operation, piece.tensor);
        for (int r = 0; r < size(); ++r) {
          if (r != rank()) send(operation, data, bytes, r);
        }
      } else if (!staged()) {
        receive(operation, piece.tensor.as<std::byte>(), bytes, piece.owner);
      } else {
        std::byte* copy = scratch(operation, bytes);
        receive(operation, copy, bytes, piece.owner);
        operation.then.push_back([this, piece, copy](Operation&) { backend_->upload(piece.tensor, copy); });
      }
    }
  }

  // Polls every queued operation once. Returns whether any of them progressed.
  bool progress() {
    bool moved = false;
    for (Operation& operation : queue_) {
      int done = 0;
      MPI_Testall(static_cast<int>(operation.requests.size()), operation.requests.data(), &done, MPI_STATUSES_IGNORE);
      if (!done || (operation.requests.empty() && operation.then.empty())) continue;
      operation.requests.clear();
      auto steps = std::move(operation.then);
      operation.then.clear();
      for (auto& step : steps) step(operation);
      moved = true;
    }
    while (!queue_.empty() && queue_.front().requests.empty() && queue_.front().then.empty()) {
      queue_.pop_front();
      moved = true;
    }
    return moved;
  }

  void finish(MPI_Request& request) {
    auto start = std::chrono::steady_clock::now();
    for (int done = 0; !done;) {
      MPI_Test(&request, &done, MPI_STATUS_IGNORE);
      if (!done) leave_if_late(start);
    }
  }

  void leave_if_late(std::chrono::steady_clock::time_point start) {
    std::chrono::duration<double> waited = std::chrono::steady_clock::now() - start;
    // Ranks may outnumber cores, so a waiting rank yields its core. After 1 ms it sleeps between polls.
    if (waited.count() < 1e-3) {
      sched_yield();
      return;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
    if (pinged() || waited.count() > timeout_seconds())
      report_hung_ranks(queue_.empty() ? "gather" : queue_.front().name);
  }

  Backend* backend_ = nullptr;
  std::deque<Operation> queue_;
  Ticket last_ticket_ = 0;
};

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator() {
  int level = 0, rank = 0, size = 1, local_rank = 0;
  // MPI_THREAD_SERIALIZED, because the watchdog thread of NcclCommunicator also calls MPI.
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Comm machine;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &machine);
  MPI_Comm_rank(machine, &local_rank);
  MPI_Comm_free(&machine);
  return std::make_unique<MpiCommunicator>(rank, size, local_rank);
}

}  // namespace rowan

#else

namespace rowan {

std::unique_ptr<Communicator> make_mpi_communicator() {
  fail_on_all("this build has no MPI: install libopenmpi-dev and build again, or start one process without mpirun");
}

}  // namespace rowan

#endif
