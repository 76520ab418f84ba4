// What `rowan plan` says of a step on a GPU, and what it refuses.
#include <gtest/gtest.h>

#include "train_command.h"

namespace rowan {
namespace {

class PlanCommand : public TrainCommand {
 protected:
  std::string plan(const std::string& more) {
    return "plan " + file().string() + " --set data.train=/nowhere.bin --set precision=bf16 " + more;
  }
};

TEST_F(PlanCommand, BudgetsAStepOnANamedGpu) {
  const Outcome one = rowan(plan("--device h200 --price 2"));
  EXPECT_EQ(one.code, 0) << one.err;
  for (const char* part :
       {"\nbudget       h200: ", " tokens/s on 1 GPU, ", " at 2 an hour\n", "   attention_backward\n"})
    EXPECT_NE(one.out.find(part), std::string::npos) << part << one.out;
  EXPECT_EQ(one.out.find("messages"), std::string::npos) << one.out;
  const Outcome two = rowan(plan("--device h200 --ranks 2"));
  EXPECT_NE(two.out.find("\n  messages         "), std::string::npos) << two.out;
}

TEST_F(PlanCommand, AnUnknownGpuIsRefusedBeforeAnythingIsSaid) {
  expect_mistake(plan("--device h20"), "found 'h20', expected one of a100, h100, h200, b200");
  EXPECT_EQ(rowan(plan("--device h20")).out, "");
  expect_mistake(plan("--device nowhere.json"), "nowhere.json");
}

TEST_F(PlanCommand, Tf32TakesAGpu) {
  EXPECT_EQ(rowan(plan("--set precision=tf32 --device a100")).code, 0);
  expect_mistake(train("--set precision=tf32"), "\"tf32\" takes a GPU, the device is \"cpu\"; use \"fp32\"");
  EXPECT_FALSE(std::filesystem::exists(run("run")));
}

}  // namespace
}  // namespace rowan
