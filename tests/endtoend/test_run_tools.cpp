// rowan generate, eval and export on a run directory, as a person calls them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "base/files.h"
#include "command.h"
#include "small_run.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class RunTools : public CommandTest {
 protected:
  void SetUp() override {
    CommandTest::SetUp();
    run_ = dir_ / "run";
    write_small_run(run_, small_llama());
  }
  fs::path run_;
};

TEST_F(RunTools, GeneratesTheSameTextForTheSameSeed) {
  const std::string command = "generate " + run_.string() + " --prompt abc --tokens 40 --device cpu --seed ";
  Outcome first = rowan(command + "1");
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(first.out.substr(0, 3), "abc");
  EXPECT_EQ(rowan(command + "1").out, first.out);
  EXPECT_NE(rowan(command + "2").out, first.out);
  EXPECT_EQ(rowan(command + "1 --temperature 0").out, rowan(command + "2 --top-k 1").out);
}

TEST_F(RunTools, EvaluatesAndExports) {
  Outcome eval = rowan("eval " + run_.string() + " --device cpu");
  EXPECT_EQ(eval.code, 0) << eval.err;
  EXPECT_NE(eval.out.find("targets      100\n"), std::string::npos) << eval.out;
  EXPECT_EQ(rowan("export " + run_.string() + " " + (dir_ / "hf").string()).code, 0);
  EXPECT_TRUE(fs::exists(dir_ / "hf" / "model.safetensors"));
  EXPECT_TRUE(fs::exists(dir_ / "hf" / "config.json"));
}

TEST_F(RunTools, MistakesAreOneLine) {
  expect_mistake("generate " + (dir_ / "absent").string(), "absent: not the directory of a run");
  expect_mistake("generate " + run_.string() + " --temperature -1", "--temperature");
  expect_mistake("eval " + run_.string() + " --data " + (dir_ / "none*.bin").string(), "none*.bin: no such file");
  expect_mistake("eval " + run_.string() + " --task spelling x", "hellaswag");
  expect_mistake("export " + run_.string() + " /proc/nowhere", "/proc/nowhere");

  Json other = small_llama();
  other["intermediate_size"] = 32;
  Json config = Json::parse(read_file(run_ / "config.json"));
  config["model"] = other;
  write_file_atomically(run_ / "config.json", config.dump());
  expect_mistake("export " + run_.string() + " " + (dir_ / "hf").string(), "a checkpoint of another model");
}

TEST_F(RunTools, DamagedCheckpointIsNamed) {
  const fs::path weights = run_ / "checkpoints" / "step_00000001" / "model.safetensors";
  std::string bytes = read_file(weights);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file_atomically(weights, bytes);
  Outcome result = rowan("generate " + run_.string());
  EXPECT_EQ(result.code, 2);
  EXPECT_NE(result.err.find(weights.string() + ": damaged: wrong checksum of tensor '"), std::string::npos)
      << result.err;
}

}  // namespace
}  // namespace rowan
