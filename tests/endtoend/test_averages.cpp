// Tests the averages of the weights in a run. A run evaluates the averages and keeps them in checkpoints, and commands
// can use them. The averages must not affect training. A continued run must have the same averages. Also tests
// mistakes.
#include "base/error.h"
#include "base/safetensors.h"
#include "train_command.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class RunAverages : public TrainCommand {
 protected:
  void SetUp() override {
    TrainCommand::SetUp();
    Json json = config();
    json["average"] = {{"ema", 0.8}, {"ema_start", 2}, {"tail", 4}};
    json["run"]["eval_every"] = 4;
    json["run"]["checkpoint_every"] = 1;
    json["run"]["keep"] = 0;
    write_config(json);
  }
  fs::path checkpoint(const std::string& name, int step) {
    return run(name) / fmt::format("checkpoints/step_{:08}", step);
  }
  double loss_in(const std::string& out) { return std::stod(out.substr(out.find("loss         ") + 13)); }
};

TEST_F(RunAverages, AreEvaluatedKeptAndExported) {
  ASSERT_EQ(rowan(train("--set average.ema=0 --set average.ema_start=0 --set average.tail=0" + into("plain"))).code, 0);
  const Outcome result = rowan(train());
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(weights(run("run"), 12), weights(run("plain"), 12));
  std::vector<Json> evaluations;
  for (const Json& row : rows(run("run")))
    if (row.contains("val_loss")) evaluations.push_back(row);
  ASSERT_EQ(evaluations.size(), 3);
  for (const Json& row : evaluations) {
    EXPECT_TRUE(row.contains("val_loss_ema")) << row;
    EXPECT_EQ(row.contains("val_loss_tail"), row["step"] == 12) << row;
  }

  // Computes the averages again from the checkpoints of steps 3 to 12.
  std::map<std::string, std::vector<double>> ema, tail;
  for (int step = 3; step <= 12; ++step) {
    const TensorFiles files(checkpoint("run", step), "model");
    for (const std::string& name : files.names()) {
      const std::vector<float> w = read_floats(files.find(name));
      std::vector<double>&e = ema[name], &t = tail[name];
      if (step == 3) e.assign(w.begin(), w.end());
      t.resize(w.size());
      for (size_t i = 0; i < w.size(); ++i) {
        if (step > 3) e[i] = 0.8 * e[i] + 0.2 * double{w[i]};
        if (step > 8) t[i] += double{w[i]} / 4;
      }
    }
  }
  for (const auto& [name, want] : {std::pair("ema", &ema), std::pair("tail", &tail)}) {
    const TensorFiles files(checkpoint("run", 12), name);
    for (const auto& [tensor, values] : *want) {
      const std::vector<float> got = read_floats(files.find(tensor));
      for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], values[i], 1e-6) << name << " " << tensor;
    }
    const std::string path = run("run").string(), key = std::string("val_loss_") + name;
    const Outcome eval = rowan("eval " + path + " --device cpu --weights " + name);
    ASSERT_EQ(eval.code, 0) << eval.err;
    EXPECT_NEAR(loss_in(eval.out), evaluations.back()[key].get<double>(), 2e-6) << eval.out;
    EXPECT_NE(loss_in(eval.out), evaluations.back()["val_loss"].get<double>());
    const fs::path out = dir_ / name;
    ASSERT_EQ(rowan("export " + path + " " + out.string() + " --weights " + name).code, 0);
    const TensorFiles exported(out, "model");
    for (const auto& [tensor, values] : *want)
      EXPECT_EQ(read_floats(exported.find(tensor)), read_floats(files.find(tensor))) << tensor;
  }

  expect_mistake("eval " + run("run").string() + " --step 8 --weights tail",
                 "found no weights 'tail', expected raw, ema");
  expect_mistake("export " + run("plain").string() + " " + (dir_ / "none").string() + " --weights ema",
                 "found no weights 'ema', expected raw");
  EXPECT_FALSE(fs::exists(dir_ / "none"));
}

TEST_F(RunAverages, AModelCardHasTheLossOfItsWeights) {
  ASSERT_EQ(rowan(train()).code, 0);
  auto card = [&](const std::string& step, const std::string& of) {
    const fs::path out = dir_ / (of + step);
    EXPECT_EQ(rowan("export " + run("run").string() + " " + out.string() + " --step " + step + " --weights " + of).code,
              0);
    return read_file(out / "README.md");
  };
  int compared = 0;
  for (const Json& row : rows(run("run")))
    for (const std::string of : {"raw", "ema", "tail"}) {
      const std::string key = of == "raw" ? "val_loss" : "val_loss_" + of;
      if (!row.contains(key)) continue;
      const int64_t step = row["step"];
      const std::string text = card(std::to_string(step), of);
      const std::string line =
          fmt::format("| validation loss | {:.4f} nats per token after step {} |\n", row[key].get<double>(), step);
      EXPECT_NE(text.find(line), std::string::npos) << text;
      const int64_t updates = of == "ema" ? step - 2 : step - 8;
      EXPECT_EQ(
          text.find(fmt::format("| weights | {}, an average over {} updates |\n", of, updates)) == std::string::npos,
          of == "raw")
          << text;
      ++compared;
    }
  EXPECT_EQ(compared, 3 + 3 + 1);
  // No evaluation was made after step 10.
  for (const std::string of : {"raw", "ema", "tail"})
    EXPECT_EQ(card("10", of).find("validation loss"), std::string::npos) << of;
}

TEST_F(RunAverages, ContinueBitForBit) {
  const std::string some = "--set run.checkpoint_every=5 ";
  ASSERT_EQ(rowan(train(some + into("whole"))).code, 0);
  ASSERT_EQ(rowan(train(some + into("again"))).code, 0);
  for (int step : {5, 10}) {
    const Outcome back = rowan(train(some + fmt::format("--from {}", step) + into("again")));
    ASSERT_EQ(back.code, 0) << back.err;
    for (const char* file : {"model.safetensors", "ema.safetensors", "tail.safetensors"})
      EXPECT_EQ(read_file(checkpoint("again", 12) / file), read_file(checkpoint("whole", 12) / file)) << step << file;
    EXPECT_EQ(rows(run("again")), rows(run("whole"))) << step;
  }
}

TEST_F(RunAverages, AContinuedTailSaysWhatItLacks) {
  ASSERT_EQ(rowan(train()).code, 0);
  const Outcome more = rowan(train("--resume --steps 14"));
  EXPECT_NE(more.err.find("tail is of the last 2 steps, not of 4: the weights after steps 11 to 12 were not averaged"),
            std::string::npos)
      << more.err;
  const Outcome back = rowan(train("--from 8 --set average.tail=10 --steps 12"));
  EXPECT_NE(back.err.find("tail is of the last 4 steps, not of 10"), std::string::npos) << back.err;
  const Outcome whole = rowan(train("--set average.ema_start=12" + into("whole")));
  EXPECT_EQ(whole.err.find("tail is of"), std::string::npos) << whole.err;
  EXPECT_NE(whole.err.find("there is no ema: ema_start is 12, and the run ends at step 12"), std::string::npos)
      << whole.err;
}

TEST_F(RunAverages, MistakesAreNamed) {
  expect_mistake(train("--set average.ema=1"), "average.ema: found 1, expected at most 0.9999999");
  expect_mistake(train("--set average.tail=-1"), "average.tail: found -1");
  expect_mistake(train("--set average.ema=0"), "average.ema_start: has no effect, because ema is 0");
  expect_mistake(train("--set average.emma=0.9"), "did you mean 'ema'");
}

}  // namespace
}  // namespace rowan
