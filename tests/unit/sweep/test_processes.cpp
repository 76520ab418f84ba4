#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

#include "base/error.h"
#include "sweep/processes.h"

namespace rowan {
namespace {

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

}  // namespace
}  // namespace rowan
