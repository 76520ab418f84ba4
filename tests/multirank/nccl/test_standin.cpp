// Tests that the stand-in for NCCL refuses what would hang or corrupt data on GPUs: calls on which ranks disagree,
// calls that a rank does not make, and host memory. The stand-in also refuses sums of integers. The Watchdog tests
// check what happens when a rank hangs or is gone.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>
#include <nccl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "kernels/arena.h"
#include "ranks.h"

namespace rowan {
namespace {

// Each test has its own communicator, because a failed call makes a communicator unusable.
class StandIn : public testing::Test {
 protected:
  StandIn() : memory_(backend(), Category::data) {
    ncclUniqueId id{};
    if (first()) ncclGetUniqueId(&id);
    const std::string shared = ranks().gather(std::string(id.internal, sizeof id.internal))[0];
    std::memcpy(id.internal, shared.data(), shared.size());
    EXPECT_EQ(ncclCommInitRank(&comm_, ranks().size(), id, ranks().rank()), ncclSuccess);
    data_ = memory_.take(DType::f32, {1024}).data;
  }
  ~StandIn() override {
    ranks().barrier();
    ncclCommDestroy(comm_);
  }
  static bool first() { return ranks().rank() == 0; }
  ncclResult_t all_reduce(size_t count, ncclDataType_t type) {
    return ncclAllReduce(data_, data_, count, type, ncclSum, comm_, nullptr);
  }
  ncclResult_t broadcast(size_t count, int root) {
    return ncclBroadcast(data_, data_, count, ncclFloat32, root, comm_, nullptr);
  }

  Arena memory_;
  void* data_ = nullptr;
  ncclComm_t comm_ = nullptr;
};

// A single rank cannot disagree with others, so the test is skipped.
#define NEEDS_PEERS() \
  if (ranks().size() == 1) GTEST_SKIP()

TEST_F(StandIn, AgreedCallsSucceed) {
  EXPECT_EQ(all_reduce(1024, ncclFloat32), ncclSuccess);
  EXPECT_EQ(all_reduce(1024, ncclBfloat16), ncclSuccess);
  EXPECT_EQ(broadcast(1024, 0), ncclSuccess);
}

TEST_F(StandIn, CatchesAnotherOperation) {
  NEEDS_PEERS();
  EXPECT_EQ(first() ? all_reduce(1024, ncclFloat32) : broadcast(1024, 0), ncclInvalidUsage);
  ncclResult_t error = ncclSuccess;
  ncclCommGetAsyncError(comm_, &error);
  EXPECT_EQ(error, ncclInvalidUsage) << "the communicator's watchdog must see the error";
}

TEST_F(StandIn, CatchesAnotherType) {
  NEEDS_PEERS();
  EXPECT_EQ(all_reduce(1024, first() ? ncclFloat32 : ncclBfloat16), ncclInvalidUsage);
}

TEST_F(StandIn, CatchesAnotherCount) {
  NEEDS_PEERS();
  EXPECT_EQ(all_reduce(first() ? 1024 : 1023, ncclFloat32), ncclInvalidUsage);
}

TEST_F(StandIn, CatchesAnotherRoot) {
  NEEDS_PEERS();
  EXPECT_EQ(broadcast(1024, first() ? 0 : 1), ncclInvalidUsage);
}

TEST_F(StandIn, CatchesAnotherOrder) {
  NEEDS_PEERS();
  ncclGroupStart();
  for (int k = 0; k < 2; ++k) (first() ? k == 0 : k == 1) ? all_reduce(512, ncclFloat32) : broadcast(512, 0);
  EXPECT_EQ(ncclGroupEnd(), ncclInvalidUsage);
}

TEST_F(StandIn, CatchesARankThatStaysAway) {
  NEEDS_PEERS();
  setenv("NCCL_STANDIN_PATIENCE", "0.3", 1);
  if (first()) {
    EXPECT_EQ(all_reduce(1024, ncclFloat32), ncclRemoteError);
  }
  unsetenv("NCCL_STANDIN_PATIENCE");
}

// Of three ranks, rank `hangs` never reaches the barrier, and the last rank reaches it late. The timeout of the
// remaining rank therefore ends first, and its message must name rank `hangs`. tests/emulation/CMakeLists.txt starts
// the ranks and checks the message.
void wait_for(int hangs) {
  if (ranks().rank() == hangs) pause();
  if (ranks().rank() == ranks().size() - 1) std::this_thread::sleep_for(std::chrono::milliseconds(2200));
  ranks().barrier();
}
TEST(DISABLED_Watchdog, NamesARankThatHangs) { wait_for(1); }
TEST(DISABLED_Watchdog, NamesTheFirst) { wait_for(0); }
TEST(DISABLED_Watchdog, NamesARankThatIsGone) {
  if (ranks().rank() == 1) std::raise(SIGKILL);
  ranks().barrier();
}

TEST_F(StandIn, RefusesHostMemoryAndSumsOfWholeNumbers) {
  float host[4] = {};
  EXPECT_EQ(ncclAllReduce(host, host, 4, ncclFloat32, ncclSum, comm_, nullptr), ncclInvalidArgument);
  EXPECT_EQ(all_reduce(16, ncclInt32), ncclInvalidArgument);
}

}  // namespace
}  // namespace rowan
