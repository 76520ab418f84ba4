// Runs the tests on every rank. Rank 0 prints everything. The other ranks print only their failures. A failure on any
// rank makes all ranks fail.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <exception>

#include "comm/transports.h"
#include "ranks.h"

namespace rowan {

static Communicator* shared = nullptr;
static Backend* shared_backend = nullptr;

Communicator& ranks() { return *shared; }
Backend& backend() { return *shared_backend; }

}  // namespace rowan

namespace {

class FailuresOnly : public testing::EmptyTestEventListener {
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (result.passed() || result.skipped()) return;
    fprintf(stderr, "rank %d: %s:%d: %s\n", rowan::ranks().rank(), result.file_name(), result.line_number(),
            result.summary());
  }
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  rowan::Launch launch = rowan::detect_launch();
  auto host = rowan::make_communicator(launch);
  auto backend = rowan::make_rank_backend();
  auto device = rowan::make_device_communicator(*host, *backend);
  rowan::Communicator* communicator = device ? device.get() : host.get();
  communicator->attach(*backend);
  rowan::shared = communicator;
  rowan::shared_backend = backend.get();
  if (communicator->rank() == 0) fmt::print("{} on {}\n", communicator->describe(), backend->describe());
  if (communicator->rank() != 0) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailuresOnly);
  }
  double failed = RUN_ALL_TESTS();
  return communicator->sum({failed})[0] == 0 ? 0 : 1;
}
