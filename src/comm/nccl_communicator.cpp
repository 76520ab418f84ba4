// Ranks over NCCL, one GPU each. Collectives run on a stream of their own. A collective starts when all work queued
// earlier on the backend's stream is done. wait() makes the backend's stream wait for the collective; the host does not
// wait. A watchdog thread looks for errors, and for collectives and NCCL calls that do not end. If a collective or call
// does not end, the thread pings the other ranks over MPI or TCP.
#include "base/console.h"
#include "comm/agreement.h"
#include "comm/merged_pieces.h"
#include "comm/transports.h"
#include "kernels/arena.h"
#include "kernels/backend.h"
#include "kernels/device_stream.h"

#ifdef ROWAN_NCCL

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

namespace rowan {

namespace {

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) fail("NCCL communicator: {}: {}", what, cudaGetErrorString(error));
}

void check(ncclResult_t result, const char* what) {
  if (result == ncclSuccess) return;
  const std::string reason = ncclGetLastError(nullptr);
  fail("NCCL: {}: {}{}", what, ncclGetErrorString(result), reason.empty() ? "" : ": " + one_line(reason));
}

ncclDataType_t type_of(DType dtype) {
  return dtype == DType::f32 ? ncclFloat32 : dtype == DType::bf16 ? ncclBfloat16 : ncclInt32;
}

// In gather(), each rank first sends a block of block_bytes: the length of its message, and up to short_bytes of the
// message. If the message of a rank is longer, further all-gathers send all messages, up to round_bytes of each at a
// time. This bounds the GPU memory that a checkpoint takes.
constexpr size_t block_bytes = 64, short_bytes = block_bytes - sizeof(uint64_t), round_bytes = size_t{16} << 20;
// A rank looks for pings only after it has waited this long. At the end of a run, one rank closes its TCP connection
// before the others. A rank that looked for pings at that moment would report a lost rank.
constexpr double answer_seconds = 0.5;

class NcclCommunicator : public Communicator {
 public:
  NcclCommunicator(Communicator& host, Backend& backend, ncclUniqueId id)
      : Communicator(host.rank(), host.size(), host.local_rank()),
        host_(host),
        backend_(backend),
        compute_(static_cast<cudaStream_t>(stream_of(backend))) {
    check(cudaGetDevice(&device_), "cannot find the GPU");
    // The stream has the highest priority, so that a collective's thread blocks are scheduled before the blocks of a
    // matrix product that still wait for a multiprocessor.
    int least = 0, greatest = 0;
    check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cannot read the priorities of streams");
    check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, greatest), "cannot create a stream");
    check(cudaEventCreateWithFlags(&queued_, cudaEventDisableTiming), "cannot create an event");
    calling("start");
    watchdog_ = std::thread([this] { watch(); });
    ncclResult_t started = ncclCommInitRank(&comm_, size(), id, rank());
    ready_ = true;
    calling(nullptr);
    if (started != ncclSuccess) {
      stop_watching();
      check(started, "the ranks could not connect");
    }
  }

  ~NcclCommunicator() override {
    stop_watching();
    if (std::uncaught_exceptions() == 0) {
      cudaStreamSynchronize(stream_);
      ncclCommDestroy(comm_);
    }
    scratch_.reset();
    for (Pending& pending : pending_) cudaEventDestroy(pending.event);
    for (cudaEvent_t event : free_) cudaEventDestroy(event);
    cudaEventDestroy(queued_);
    cudaStreamDestroy(stream_);
  }

  std::string describe() const override {
    int version = 0;
    ncclGetVersion(&version);
    return fmt::format("NCCL {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  }

  void attach(Backend&) override {}

  void wait(Ticket ticket) override {
    std::lock_guard lock(mutex_);
    cudaEvent_t last = nullptr;
    for (const Pending& pending : pending_) {
      if (pending.ticket <= ticket) last = pending.event;
    }
    if (last) check(cudaStreamWaitEvent(compute_, last, 0), "wait");
  }

  void abort(int exit_code) override {
    std::lock_guard lock(mutex_);
    host_.abort(exit_code);
  }

 protected:
  // One ncclReduce per owner and run of neighbouring pieces, not one ncclReduceScatter (nor ncclAllGather for weights).
  // Those need parts of equal size in the order of the ranks. Whole matrices that are dealt by cost are neither, so a
  // copy into a staging buffer would come first; AdamW's shares are not equal either. Inside one node there is little
  // to gain: both ways a rank sends (N - 1) / N of the gradient's bytes, and the messages of all blocks but the last
  // are hidden behind the backward. For GPT-2 124M, `rowan plan` counts 0.83 ms of messages on 2 H200 and 1.45 ms on 8,
  // beside 112 ms of kernels if each has 65,536 tokens. Between nodes, where rooted reductions may use the network less
  // well, the question is open.
  Ticket start_reduce(const std::vector<Piece>& pieces) override {
    return queue("reduce", [&] {
      for (const Piece& piece : merged(pieces)) {
        const Tensor& x = piece.tensor;
        check(ncclReduce(x.data, x.data, x.numel(), type_of(x.dtype), ncclSum, piece.owner, comm_, stream_), "reduce");
      }
    });
  }

  Ticket start_broadcast(const std::vector<Piece>& pieces) override {
    return queue("broadcast", [&] {
      for (const Piece& piece : merged(pieces)) {
        const Tensor& x = piece.tensor;
        check(ncclBroadcast(x.data, x.data, x.numel(), type_of(x.dtype), piece.owner, comm_, stream_), "broadcast");
      }
    });
  }

  Ticket start_all_reduce(Tensor x) override {
    return queue("all_reduce", [&] {
      check(ncclAllReduce(x.data, x.data, x.numel(), type_of(x.dtype), ncclSum, comm_, stream_), "all_reduce");
    });
  }

  std::vector<std::string> gather_bytes(const std::string& mine) override {
    std::string block(block_bytes, '\0');
    uint64_t length = mine.size(), longest = 0;
    std::memcpy(block.data(), &length, sizeof length);
    std::memcpy(block.data() + sizeof length, mine.data(), std::min(mine.size(), short_bytes));
    std::string blocks = gather_equal(block);
    std::vector<uint64_t> lengths(size());
    for (int r = 0; r < size(); ++r) {
      std::memcpy(&lengths[r], blocks.data() + r * block_bytes, sizeof(uint64_t));
      longest = std::max(longest, lengths[r]);
    }
    std::vector<std::string> result(size());
    if (longest <= short_bytes) {
      for (int r = 0; r < size(); ++r) result[r] = blocks.substr(r * block_bytes + sizeof(uint64_t), lengths[r]);
      return result;
    }
    for (size_t begin = 0; begin < longest; begin += round_bytes) {
      const size_t count = std::min(round_bytes, (longest - begin + 3) / 4 * 4);
      std::string part = mine.substr(std::min(begin, mine.size()), count);
      part.resize(count);
      blocks = gather_equal(part);
      for (int r = 0; r < size(); ++r)
        if (begin < lengths[r]) result[r].append(blocks, r * count, std::min(count, lengths[r] - begin));
    }
    return result;
  }

 private:
  struct Call {
    const char* name;
    std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();
  };
  struct Pending {
    Ticket ticket;
    cudaEvent_t event;
    Call call;
  };

  template <typename Calls>
  Ticket queue(const char* name, const Calls& calls) {
    check(cudaEventRecord(queued_, compute_), "record");
    check(cudaStreamWaitEvent(stream_, queued_, 0), "order");
    calling(name);
    check(ncclGroupStart(), "group");
    calls();
    check(ncclGroupEnd(), "group");
    calling(nullptr);
    std::lock_guard lock(mutex_);
    cudaEvent_t event = nullptr;
    if (free_.empty()) {
      check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cannot create an event");
    } else {
      event = free_.back();
      free_.pop_back();
    }
    check(cudaEventRecord(event, stream_), "record");
    pending_.push_back({++last_ticket_, event, {name}});
    return last_ticket_;
  }

  // Records for the watchdog which NCCL call the host is in; nullptr: no call. The host may wait inside a call, for
  // example while NCCL connects ranks.
  void calling(const char* name) {
    std::lock_guard lock(mutex_);
    calling_ = name ? std::optional(Call{name}) : std::nullopt;
  }

  // Returns the blocks of all ranks, in rank order. All blocks have the same size, a multiple of 4 bytes.
  std::string gather_equal(const std::string& mine) {
    int64_t words = static_cast<int64_t>(mine.size()) / 4;
    if (words > scratch_words_) {
      scratch_ = std::make_unique<Arena>(backend_, Category::workspace);
      send_ = scratch_->take(DType::i32, {words});
      receive_ = scratch_->take(DType::i32, {words * size()});
      scratch_words_ = words;
    }
    Tensor from = send_.slice(0, words), to = receive_.slice(0, words * size());
    backend_.upload(from, mine.data());
    wait(queue("gather",
               [&] { check(ncclAllGather(from.data, to.data, words, ncclInt32, comm_, stream_), "all_gather"); }));
    std::string all(mine.size() * size(), '\0');
    backend_.download(all.data(), to);
    return all;
  }

  void stop_watching() {
    stop_ = true;
    watchdog_.join();
  }

  void watch() {
    cudaSetDevice(device_);
    for (; !stop_; std::this_thread::sleep_for(std::chrono::milliseconds(50))) {
      ncclResult_t error = ncclSuccess;
      if (ready_) ncclCommGetAsyncError(comm_, &error);
      if (error != ncclSuccess && error != ncclInProgress) leave(ncclGetErrorString(error));
      std::lock_guard lock(mutex_);
      while (!pending_.empty() && cudaEventQuery(pending_.front().event) == cudaSuccess) {
        free_.push_back(pending_.front().event);
        pending_.pop_front();
      }
      const std::optional<Call> call = pending_.empty() ? calling_ : pending_.front().call;
      if (!call) continue;
      const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - call->since;
      if (waited.count() > timeout_seconds() || (waited.count() > answer_seconds && host_.pinged()))
        host_.report_hung_ranks(call->name);
    }
  }

  [[noreturn]] void leave(const std::string& why) {
    std::this_thread::sleep_for(std::chrono::duration<double>(turn_seconds()));
    tell("rowan: rank {}: NCCL: {}; leaving\n", rank(), why);
    std::fflush(nullptr);
    std::_Exit(2);
  }

  Communicator& host_;
  Backend& backend_;
  cudaStream_t compute_, stream_ = nullptr;
  cudaEvent_t queued_ = nullptr;
  ncclComm_t comm_ = nullptr;
  int device_ = 0;

  std::unique_ptr<Arena> scratch_;
  Tensor send_, receive_;
  int64_t scratch_words_ = 0;

  std::mutex mutex_;  // guards pending_, calling_, free_ and last_ticket_
  std::deque<Pending> pending_;
  std::optional<Call> calling_;
  std::vector<cudaEvent_t> free_;
  Ticket last_ticket_ = 0;
  std::atomic<bool> ready_ = false, stop_ = false;
  std::thread watchdog_;
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, Backend& backend) {
  ncclUniqueId id{};
  if (host.rank() == 0) check(ncclGetUniqueId(&id), "cannot create an id");
  const std::string bytes = host.gather(std::string(id.internal, sizeof id.internal))[0];
  std::memcpy(id.internal, bytes.data(), sizeof id.internal);
  return std::make_unique<NcclCommunicator>(host, backend, id);
}

std::string device_name_for_nccl() {
  int device = 0;
  cudaDeviceProp properties;
  check(cudaGetDevice(&device), "cannot find the GPU");
  check(cudaGetDeviceProperties(&properties, device), "cannot read the properties of the GPU");
  return fmt::format("{} {}:{}:{}", machine_name(), properties.pciDomainID, properties.pciBusID,
                     properties.pciDeviceID);
}

}  // namespace rowan

#else

namespace rowan {

std::unique_ptr<Communicator> make_nccl_communicator(Communicator&, Backend&) {
  fail_on_all("this build has no NCCL: install libnccl-dev and build again, or set ROWAN_COMMUNICATOR=mpi");
}

std::string device_name_for_nccl() { return ""; }

}  // namespace rowan

#endif
