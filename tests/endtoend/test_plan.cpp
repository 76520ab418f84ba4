// Tests what `rowan plan` prints about a step on a GPU. Also tests which sizes `rowan plan`, `train` and `bench`
// refuse, and that TF32 needs a GPU.
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
  EXPECT_EQ(one.out.find("GPU hours"), std::string::npos) << "a run of less than a second\n" << one.out;
  const Outcome longer = rowan(plan("--device h200 --set run.steps=5000000000"));
  EXPECT_NE(longer.out.find(" GPU hours, without evaluations"), std::string::npos) << longer.out;
  expect_mistake(plan("--price 2"), "--price: needs --device");
  for (const char* option : {"--price", "--memory"})  // which would not be told from an option that was not given
    expect_mistake(plan(std::string("--device h200 ") + option + " 0"),
                   std::string(option) + ": found 0, expected 1e-06 to");
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
  expect_mistake(train("--set precision=tf32"), "found \"tf32\", expected \"fp32\", because the device is \"cpu\"");
  EXPECT_FALSE(std::filesystem::exists(run("run")));
}

// A run that does not fit into memory gives an error of one line and leaves no folder. Most of these errors name the
// key to lower.
TEST_F(PlanCommand, AModelThatNoMemoryHoldsIsOneLine) {
  auto too_large = [&](const std::string& set, const std::string& part) {
    SCOPED_TRACE(set);
    expect_mistake(train("--set " + set), part);
    EXPECT_FALSE(std::filesystem::exists(run("run")));
  };
  too_large("model.hidden_size=2147483648", "model.hidden_size: found 2147483648, which makes ");
  too_large("model.hidden_size=1048576", "out of memory: found ");
  too_large("model.hidden_size=1048576", "; lower model.hidden_size, which is 1048576 ");
  too_large("model.vocab_size=2147483647", "; lower model.vocab_size, which is 2147483647 ");
  too_large("model.intermediate_size=2000000000", "; lower model.intermediate_size, which is 2000000000 ");
  too_large("model.num_hidden_layers=100000 --set model.intermediate_size=2147483647",
            "model.intermediate_size: found 2147483647, which makes ");
  too_large("model.num_attention_heads=2147483648 --set model.head_dim=2",
            "found 2147483648 heads of 2 values, expected at most ");
  too_large("batch.sequences=100000000 --set batch.micro_batch=100000000",
            "; set a smaller batch.micro_batch, or set recompute");
  // The product of these sizes does not fit in 64 bits.
  too_large(
      "model.vocab_size=2147483647 --set model.hidden_size=8 --set batch.sequences=134217728 --set batch.micro_batch=0",
      "out of memory: ");
  expect_mistake("bench step --batch 2000000", "--batch: found 2000000, expected 1 to 1048576");
  expect_mistake("bench step --threads 100000", "--threads: found 100000, expected 0 to 4096");
}

// A plan is also computed for a deep model, for long sequences and for a large batch.
TEST_F(PlanCommand, AbsurdNumbersTakeNoLonger) {
  EXPECT_EQ(rowan(plan("--set model.num_hidden_layers=10000")).code, 0);
  const Outcome longest =
      rowan(plan("--set batch.sequences=1 --set batch.micro_batch=1 --set batch.sequence_length="
                 "1073741824 --set model.max_position_embeddings=1073741824"));
  EXPECT_EQ(longest.code, 0) << longest.err;
  const Outcome many = rowan(plan("--ranks 2 --memory 80 --set batch.sequences=1099511627776"));
  EXPECT_EQ(many.code, 0) << many.err;
  EXPECT_NE(many.out.find("micro-batch  "), std::string::npos);
  expect_mistake(plan("--ranks 100000"), "--ranks: found 100000, expected 1 to 65536");
}

}  // namespace
}  // namespace rowan
