// Runs the tests on every rank; rank 0 prints, the others print their failures only. A failure on any rank is one of
// all.
#include <gtest/gtest.h>

#include <exception>

#include "ranks.h"

namespace rowan {

static Communicator* shared = nullptr;

Communicator& ranks() { return *shared; }

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
  auto communicator = rowan::make_communicator(rowan::detect_launch());
  rowan::shared = communicator.get();
  if (communicator->rank() != 0) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailuresOnly);
  }
  double failed = RUN_ALL_TESTS();
  return communicator->sum({failed})[0] == 0 ? 0 : 1;
}
