// Implements a stand-in for the NCCL calls of src/comm/nccl_communicator.cpp. The ranks are processes of one machine
// with emulated device memory, and communicate through POSIX shared memory. The stand-in compares reductions,
// broadcasts and gathers across ranks (operation, type, count, root, order). A mismatch, which would hang or corrupt
// data on GPUs, is an error here. A missing rank is an error too. Sums are computed in rank order in fp32.
#include <fcntl.h>
#include <nccl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "base/dtype.h"
#include "emulation/engine.h"

namespace {

constexpr int most_ranks = 8;
constexpr size_t window_bytes = 1 << 20;

enum Kind : int { reduce, broadcast, all_reduce, all_gather };

struct Call {
  Kind kind;
  int type, root;
  size_t count;
  bool operator==(const Call& o) const {
    return kind == o.kind && type == o.type && root == o.root && count == o.count;
  }
};

struct Shared {
  std::atomic<int> here, arrived;
  std::atomic<unsigned> round;
  Call calls[most_ranks];
  alignas(64) char windows[most_ranks][window_bytes];
};

struct Request {
  Call call;
  const void* from;
  void* to;
  ncclComm_t comm;
};

thread_local int group_depth = 0;
thread_local std::vector<Request> group;

double patience() {
  const char* text = std::getenv("NCCL_STANDIN_PATIENCE");
  return text ? std::atof(text) : 60;
}

template <typename Condition>
bool wait_until(const Condition& condition) {
  auto start = std::chrono::steady_clock::now();
  for (int spin = 0; !condition(); ++spin) {
    if (spin % 256 == 255) std::this_thread::sleep_for(std::chrono::microseconds(50));
    if (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() > patience()) return false;
  }
  return true;
}

}  // namespace

struct ncclComm {
  Shared* shared;
  int rank, size;
  std::atomic<int> error{ncclSuccess};
};

namespace {

bool barrier(ncclComm& comm) {
  Shared& shared = *comm.shared;
  unsigned round = shared.round;
  if (++shared.arrived == comm.size) {
    shared.arrived = 0;
    ++shared.round;
    return true;
  }
  return wait_until([&] { return shared.round != round; });
}

size_t bytes_of(int type) {
  if (type == ncclBfloat16) return 2;
  if (type == ncclFloat32 || type == ncclInt32) return 4;
  return 0;
}

void add(const ncclComm& comm, int type, size_t count, char* to) {
  for (size_t i = 0; i < count; ++i) {
    float sum = 0;
    for (int r = 0; r < comm.size; ++r) {
      const char* window = comm.shared->windows[r];
      sum += type == ncclFloat32 ? reinterpret_cast<const float*>(window)[i]
                                 : rowan::to_float(reinterpret_cast<const rowan::bf16*>(window)[i]);
    }
    if (type == ncclFloat32) {
      reinterpret_cast<float*>(to)[i] = sum;
    } else {
      reinterpret_cast<rowan::bf16*>(to)[i] = rowan::to_bf16(sum);
    }
  }
}

ncclResult_t run(const Request& request) {
  ncclComm& comm = *request.comm;
  const Call& call = request.call;
  size_t size = bytes_of(call.type), step = size ? window_bytes / size : 0;
  comm.shared->calls[comm.rank] = call;
  if (!barrier(comm)) return ncclRemoteError;
  for (int r = 0; r < comm.size; ++r) {
    if (comm.shared->calls[r] == call) continue;
    const Call& other = comm.shared->calls[r];
    std::fprintf(
        stderr,
        "NCCL stand-in: rank %d calls (operation %d, type %d, root %d, %zu values), rank %d (%d, %d, %d, %zu)\n",
        comm.rank, call.kind, call.type, call.root, call.count, r, other.kind, other.type, other.root, other.count);
    return ncclInvalidUsage;
  }
  bool sums = call.kind == reduce || call.kind == all_reduce;
  if (size == 0 || (sums && call.type == ncclInt32)) return ncclInvalidArgument;
  emulation::DeviceMemoryOpen open;
  auto* to = static_cast<char*>(request.to);
  for (size_t begin = 0; begin < call.count; begin += step) {
    size_t count = std::min(step, call.count - begin), bytes = count * size;
    std::memcpy(comm.shared->windows[comm.rank], static_cast<const char*>(request.from) + begin * size, bytes);
    if (!barrier(comm)) return ncclRemoteError;
    if (call.kind == all_gather) {
      for (int r = 0; r < comm.size; ++r) {
        std::memcpy(to + (r * call.count + begin) * size, comm.shared->windows[r], bytes);
      }
    } else if (call.kind == broadcast) {
      std::memcpy(to + begin * size, comm.shared->windows[call.root], bytes);
    } else if (call.kind == all_reduce || call.root == comm.rank) {
      add(comm, call.type, count, to + begin * size);
    } else {
      std::memset(to + begin * size, 0xff, bytes);  // NCCL leaves these bytes undefined
    }
    if (!barrier(comm)) return ncclRemoteError;
  }
  return ncclSuccess;
}

ncclResult_t submit(const Request& request) {
  if (!emulation::is_device_range(request.to, request.call.count * bytes_of(request.call.type)))
    return ncclInvalidArgument;
  group.push_back(request);
  if (group_depth == 0) {
    ++group_depth;
    return ncclGroupEnd();
  }
  return ncclSuccess;
}

}  // namespace

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  std::memset(id, 0, sizeof *id);
  std::snprintf(id->internal, sizeof id->internal, "/nccl-standin.%d.%ld", getpid(), now.tv_nsec);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int size, ncclUniqueId id, int rank) {
  if (size < 1 || size > most_ranks || rank < 0 || rank >= size) return ncclInvalidArgument;
  int file = shm_open(id.internal, O_RDWR | O_CREAT, 0600);
  if (file < 0 || ftruncate(file, sizeof(Shared))) return ncclSystemError;
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return ncclSystemError;
  auto* shared = static_cast<Shared*>(memory);
  ++shared->here;
  bool complete = wait_until([&] { return shared->here == size; });
  shm_unlink(id.internal);
  if (!complete) return ncclRemoteError;
  *comm = new ncclComm{shared, rank, size};
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  munmap(comm->shared, sizeof(Shared));
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  *error = static_cast<ncclResult_t>(comm->error.load());
  return ncclSuccess;
}

const char* ncclGetLastError(ncclComm_t) { return ""; }

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    default:
      return "internal error";
  }
}

ncclResult_t ncclGroupStart() {
  ++group_depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (--group_depth > 0) return ncclSuccess;
  std::vector<Request> calls = std::move(group);
  group.clear();
  for (const Request& request : calls) {
    ncclResult_t result = run(request);
    if (result == ncclSuccess) continue;
    request.comm->error = result;
    return result;
  }
  return ncclSuccess;
}

ncclResult_t ncclReduce(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t op, int root,
                        ncclComm_t comm, cudaStream_t) {
  return op == ncclSum ? submit({{reduce, type, root, count}, from, to, comm}) : ncclInvalidArgument;
}
ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t) {
  return op == ncclSum ? submit({{all_reduce, type, 0, count}, from, to, comm}) : ncclInvalidArgument;
}
ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t) {
  return submit({{broadcast, type, root, count}, from, to, comm});
}
ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t) {
  return submit({{all_gather, type, 0, count}, from, to, comm});
}

}  // extern "C"
