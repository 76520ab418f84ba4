// README's table of how a run continues. Each row is tested with the command that it names.
#include "train_command.h"

namespace rowan {
namespace {

class Continuing : public TrainCommand {
 protected:
  void SetUp() override {
    TrainCommand::SetUp();
    Json json = config();
    json["schedule"] = {{"name", "linear"}, {"warmup_steps", 2}, {"min_lr_ratio", 0}};
    json["run"]["eval_every"] = 4;
    write_config(json);
    ASSERT_EQ(rowan(train()).code, 0);
    before_ = rows(run("run"));
  }
  // The learning rate of the update that led to `step`.
  double rate(const std::string& name, int64_t step) {
    for (const Json& row : rows(run(name)))
      if (row["step"] == step && row.contains("lr")) return row["lr"];
    ADD_FAILURE() << name << " has no row of step " << step;
    return 0;
  }
  std::vector<Json> before_;
};

TEST_F(Continuing, MoreStepsUnderTheScheduleOverAllOfThem) {
  EXPECT_EQ(rowan(train("--set run.steps=20")).code, 2) << "another run, unless --resume says so";
  ASSERT_EQ(rowan(train("--resume --set run.steps=20")).code, 0);
  const std::vector<Json> after = rows(run("run"));
  ASSERT_GT(after.size(), before_.size());
  EXPECT_TRUE(std::equal(before_.begin(), before_.end(), after.begin())) << "what was is not written again";
  EXPECT_DOUBLE_EQ(rate("run", 13), 0.01 * (1 - (12.0 - 2) / (20 - 2)));
}

TEST_F(Continuing, ANewScheduleFromHere) {
  ASSERT_EQ(rowan(train("--resume --set run.steps=20 --set schedule.from_step=12")).code, 0);
  EXPECT_EQ(rate("run", 13), 0) << "it warms up again";
  EXPECT_DOUBLE_EQ(rate("run", 14), 0.005);
  EXPECT_DOUBLE_EQ(rate("run", 15), 0.01);
  EXPECT_DOUBLE_EQ(rate("run", 18), 0.005);
}

TEST_F(Continuing, BackToACheckpoint) {
  ASSERT_EQ(rowan(train("--from 4 --set optimizer.lr=0.02")).code, 0);
  EXPECT_DOUBLE_EQ(rate("run", 5), 2 * 0.01 * (1 - (4.0 - 2) / (12 - 2)));
  EXPECT_TRUE(std::filesystem::exists(run("run") / "earlier-1" / "metrics.jsonl"));
  EXPECT_TRUE(std::filesystem::exists(run("run") / "earlier-1" / "step_00000012"));
}

TEST_F(Continuing, WeightsOnly) {
  for (const std::string from : {"", "@best", "@8"}) {
    const std::string name = "weights" + from;
    Json json = config();
    json["init"] = run("run").string() + from;
    json["run"]["dir"] = run(name).string();
    json["run"]["steps"] = 2;
    write_config(json);
    const Outcome result = rowan(train());
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(rate(name, 1), 0) << "warm-up and schedule are its own";
    EXPECT_EQ(rows(run(name))[0]["tokens"], 64) << "from sample 0";
    EXPECT_LT(rows(run(name))[0]["loss"], 0.99 * before_[0]["loss"].get<double>()) << "but not from initial weights";
  }
}

TEST_F(Continuing, OneCheckpointOfMany) {
  for (const std::string step : {"4", "best", "newest"}) {
    EXPECT_EQ(rowan("eval " + run("run").string() + " --device cpu --step " + step).code, 0) << step;
    EXPECT_EQ(rowan("export " + run("run").string() + " " + run("hf_" + step).string() + " --step " + step).code, 0);
  }
}

}  // namespace
}  // namespace rowan
