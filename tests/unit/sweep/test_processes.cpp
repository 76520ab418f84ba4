#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "sweep/processes.h"
#include "temporary_folder.h"

namespace rowan {
namespace {

using std::chrono::milliseconds;
using Names = std::vector<std::string>;

// Sets CUDA_VISIBLE_DEVICES for the life of this object.
class VisibleGpus {
 public:
  explicit VisibleGpus(const char* gpus) {
    if (const char* before = std::getenv(name)) before_ = before;
    setenv(name, gpus, 1);
  }
  ~VisibleGpus() { before_ ? setenv(name, before_->c_str(), 1) : unsetenv(name); }
  VisibleGpus(const VisibleGpus&) = delete;
  VisibleGpus& operator=(const VisibleGpus&) = delete;

 private:
  static constexpr const char* name = "CUDA_VISIBLE_DEVICES";
  std::optional<std::string> before_;
};

std::string refusal(const SlotWish& wish) {
  try {
    make_slots(wish);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(SweepSlots, HaveTheGpusOfTheirRanks) {
  const VisibleGpus gpus("0,2,5,7");
  const std::vector<Slot> slots = make_slots({.ranks = 2, .gpu = true});
  ASSERT_EQ(slots.size(), 2u);
  EXPECT_EQ(slots[0].gpus, (Names{"0", "2"}));
  EXPECT_EQ(slots[1].gpus, (Names{"5", "7"}));
}

TEST(SweepSlots, KnowTheSpellingsOfCuda) {
  const std::pair<const char*, Names> lists[] = {
      {"GPU-8932f937-d72c-4106-c12f-20bd9faed9f6, 3,MIG-GPU-8932f937/1/2,MIG-c6d4f1ef",
       {"GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "3", "MIG-GPU-8932f937/1/2", "MIG-c6d4f1ef"}},
      {"0,-1,1", {"0"}},
      {"1,two,2", {"1"}},
      {"", {}},
      {"NoDevFiles", {}}};
  for (const auto& [list, expected] : lists) {
    const VisibleGpus gpus(list);
    EXPECT_EQ(visible_gpus(), expected) << list;
  }
}

TEST(SweepSlots, TooFewGpusAreAnError) {
  const VisibleGpus gpus("0,2,5");
  EXPECT_EQ(refusal({.ranks = 4, .gpu = true}), "resources.ranks: found 4, expected at most 3, the number of GPUs");
  EXPECT_EQ(refusal({.jobs = 2, .ranks = 2, .gpu = true}),
            "resources.jobs: found 2, expected at most 1: a run takes 2 of 3 GPUs");
}

class SweepProcesses : public ::testing::Test {
 protected:
  // Runs a command of sh in the pool until it has ended, at most a minute.
  static std::optional<ProcessPool::Ended> ended(ProcessPool& pool, const std::string& command, const ProcessLog& log) {
    pool.start("run", {"/bin/sh", "-c", command}, {}, log);
    std::optional<ProcessPool::Ended> result;
    for (int i = 0; i < 60'000 && !(result = pool.poll()); ++i) std::this_thread::sleep_for(milliseconds(1));
    return result;
  }
  TemporaryFolder folder_;
};

// A shell, or a program that starts sweeps, may have left SIGCHLD ignored.
TEST_F(SweepProcesses, EndAlsoIfTheirSignalIsIgnored) {
  const auto before = std::signal(SIGCHLD, SIG_IGN);
  {
    ProcessPool pool(std::vector<Slot>(1));
    const ProcessLog log(folder_ / "log");
    const auto result = ended(pool, "exit 3", log);
    EXPECT_EQ(result ? result->code : -1, 3);
    EXPECT_EQ(pool.running(), 0u);
  }
  std::signal(SIGCHLD, before);
}

TEST_F(SweepProcesses, OneAtATimeAppendsToALog) {
  ProcessPool pool(std::vector<Slot>(1));
  for (int64_t attempt = 0; attempt < 2; ++attempt) {
    const ProcessLog log(folder_ / "log");
    ASSERT_TRUE(log.locked());
    EXPECT_FALSE(ProcessLog(folder_ / "log").locked());
    const auto result = ended(pool, "echo text", log);
    ASSERT_TRUE(result);
    EXPECT_EQ(result->log_begin, 5 * attempt) << "the bytes of the earlier attempts";
  }
  EXPECT_EQ(read_file(folder_ / "log"), "text\ntext\n");
  EXPECT_THROW(ProcessLog(folder_ / "absent/log"), Error);
}

}  // namespace
}  // namespace rowan
