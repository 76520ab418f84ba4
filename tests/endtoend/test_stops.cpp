// A stop signal soon ends eval, bench, the start of train, an evaluation on HellaSwag, and the sample at the end;
// run.max_seconds ends the last evaluation and the sample. test_safety.cpp tests what `rowan train` saves before it
// ends.
#include <signal.h>

#include "train_command.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

class Stops : public TrainCommand {
 protected:
  void SetUp() override {
    TrainCommand::SetUp();
    fs::create_directories(dir_ / "temporary");
    ::setenv("TMPDIR", (dir_ / "temporary").c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("TMPDIR");
    TrainCommand::TearDown();
  }
  // Sends the signal after the given delay. Returns the seconds until the process has ended, and its exit code in
  // `code`.
  double seconds_to_end(pid_t child, int signal, milliseconds after, int& code) {
    std::this_thread::sleep_for(after);
    const auto begin = std::chrono::steady_clock::now();
    ::kill(child, signal);
    code = code_of(child);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
};

TEST_F(Stops, CommandsThatWriteNothingEndAtOnce) {
  write_small_run(run("whole"), small_llama());
  write_small_shard(dir_ / "long.bin", 4'000'001);
  std::map<fs::path, std::string> before;
  for (const auto& entry : fs::recursive_directory_iterator(run("whole")))
    if (entry.is_regular_file()) before[entry.path()] = read_file(entry.path());
  const std::string tiny = " --device cpu --threads 1 --batch 1 --seq 8 --steps 1000000 --model " +
                           quoted(source_path("configs/models/gpt2_tiny.json"));
  for (const std::string& command :
       {"eval " + run("whole").string() + " --device cpu --data " + (dir_ / "long.bin").string(), "bench step" + tiny,
        std::string("bench loader --seconds 1000")})
    for (int signal : {SIGTERM, SIGINT}) {
      int code = 0;
      EXPECT_LT(seconds_to_end(start(command), signal, milliseconds(400), code), 2) << command;
      EXPECT_EQ(code, -signal) << "a shell sees " << 128 + signal << ": " << command << log();
      EXPECT_TRUE(fs::is_empty(dir_ / "temporary")) << command;
    }
  size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(run("whole")))
    if (entry.is_regular_file()) {
      EXPECT_EQ(read_file(entry.path()), before[entry.path()]) << entry.path();
      ++files;
    }
  EXPECT_EQ(files, before.size());
}

// The signals come during the start of a run or soon after it. The same command then gives the undisturbed run.
TEST_F(Stops, AStartEndsAtOnceAndTheSameCommandTrains) {
  ASSERT_EQ(rowan(train(into("whole"))).code, 0);
  int after = 0;
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGTERM, SIGTERM}) {
    int code = 0;
    EXPECT_LT(seconds_to_end(start(train()), signal, milliseconds(after), code), 5);
    EXPECT_TRUE(code == -signal || code == 128 + signal || code == 0) << code << log();
    after = 2 * after + 5;
  }
  Outcome last = rowan(train());
  ASSERT_EQ(last.code, 0) << last.err;
  EXPECT_EQ(rows(run("run")), rows(run("whole")));
  EXPECT_EQ(weights(run("run"), 12), weights(run("whole"), 12));
  EXPECT_FALSE(fs::exists(run("run") / "lock"));
}

TEST_F(Stops, TimeEndsTheLastEvaluationWhenNoStepIsLeft) {
  write_small_shard(dir_ / "validation.bin", 4'000'001);
  const std::string few = "--set batch.micro_batch=1 --set run.eval_tokens=64 ";
  ASSERT_EQ(rowan(train(few)).code, 0);
  const fs::path metrics = run("run") / "metrics.jsonl";
  const std::string all = read_file(metrics);
  const size_t last = all.rfind("{\"step\":12,\"val_loss\"");
  ASSERT_NE(last, std::string::npos);
  write_file_atomically(metrics, all.substr(0, last));
  const Outcome late = rowan(train("--set batch.micro_batch=1 --set run.eval_tokens=0 --set run.max_seconds=1"));
  EXPECT_EQ(late.code, 124) << "the evaluation was too short for this test: " << late.err;
  EXPECT_EQ(read_file(metrics).find("\"step\":12,\"val_loss\""), std::string::npos);
  ASSERT_EQ(rowan(train(few)).code, 0);
  EXPECT_NE(read_file(metrics).find("\"step\":12,\"val_loss\""), std::string::npos);
}

TEST_F(Stops, HellaSwagIsLeftBetweenMicroBatches) {
  std::string items;
  for (int i = 0; i < 40'000; ++i)
    items += R"({"ctx": "A man", "endings": ["runs", "sits", "eats", "sings"], "label": 1})"
             "\n";
  write_file_atomically(dir_ / "items.jsonl", items);
  const std::string more =
      "--set batch.micro_batch=1 --set run.eval_every=4 --set data.hellaswag=" + (dir_ / "items.jsonl").string();
  const pid_t child = start(train(more));
  const fs::path saved = run("run") / "checkpoints/step_00000004";
  until(child, [&] { return fs::exists(saved); });
  int code = 0;
  EXPECT_LT(seconds_to_end(child, SIGTERM, milliseconds(300), code), 5);
  EXPECT_EQ(code, 143) << log();
  EXPECT_FALSE(fs::exists(run("run") / "checkpoints/step_00000008")) << "the items were too few for this test";
  for (const Json& row : rows(run("run"))) EXPECT_FALSE(row.contains("hellaswag_acc")) << row.dump();
}

// The data is one token again and again, so the model soon never ends its sample by itself. The run is complete, so the
// exit code is 0.
TEST_F(Stops, AStopEndsTheSample) {
  std::string shard = read_file(dir_ / "train.bin").substr(0, 1024);
  for (int i = 0; i < 3001; ++i) shard += std::string("a\0", 2);
  write_file_atomically(dir_ / "train.bin", shard);
  Json json = config();
  json["data"].erase("validation");
  write_config(json);
  const std::string more =
      "--steps 60 --set model.max_position_embeddings=256 --set batch.sequence_length=256 --set "
      "run.sample_tokens=100000 ";
  const std::string said = "by the newest checkpoint, ended by a stop:\naaa";
  const pid_t child = start(train(more));
  until(child, [&] { return fs::exists(dir_ / "log") && log().find("done: 60 steps") != std::string::npos; });
  kill(child, SIGTERM);
  EXPECT_EQ(code_of(child), 0) << log();
  EXPECT_NE(log().find("by the newest checkpoint, ended by a stop:\n"), std::string::npos) << log();
  const Outcome late = rowan(train(more + "--set run.max_seconds=1"));
  EXPECT_EQ(late.code, 0) << late.err;
  EXPECT_NE(late.err.find(said), std::string::npos) << late.err;
}

}  // namespace
}  // namespace rowan
