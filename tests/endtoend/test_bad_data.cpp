// Tests shards that become unreadable while a run reads them: a file shrinks, or gets ids outside the vocabulary. The
// run names the file and saves what it has learnt, on one rank and on several.
#include <fstream>

#include "paths.h"
#include "run/checkpoint.h"
#include "train_command.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class BadData : public TrainCommand {
 protected:
  void SetUp() override {
    TrainCommand::SetUp();
    write_small_shard(train_shard(), 200'001);
  }
  fs::path train_shard() const { return dir_ / "train.bin"; }
  static std::string endless() {
    return "--set run.steps=100000000 --set run.log_every=1 --set run.checkpoint_every=0 --set batch.micro_batch=1 ";
  }
  // Every token gets an id that no vocabulary of this test has. The header and the file's size stay.
  static void spoil(const fs::path& shard) {
    std::fstream file(shard, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(1024);
    const std::string ids(fs::file_size(shard) - 1024, '\xff');
    file.write(ids.data(), static_cast<std::streamsize>(ids.size()));
  }
  // Starts a shell command in the background. Its output goes to `log`.
  pid_t start_shell(const std::string& command) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::execl("/bin/sh", "sh", "-c", ("exec " + command + " >" + (dir_ / "log").string() + " 2>&1").c_str(), nullptr);
      ::_exit(127);
    }
    return child;
  }
  // Waits for the first rows of `run`, calls `harm`, and expects one line about the data and one whole checkpoint.
  void expect_saved(pid_t child, const fs::path& run, const std::function<void()>& harm, const std::string& line) {
    until(child, [&] { return fs::exists(run / "metrics.jsonl") && rows(run).size() > 2; });
    harm();
    EXPECT_EQ(code_of(child), 2) << log();
    const std::string text = log();
    const size_t at = text.find("\nrowan: ");
    ASSERT_NE(at, std::string::npos) << text;
    EXPECT_NE(text.substr(at, text.find('\n', at + 1) - at).find(line), std::string::npos) << text;
    EXPECT_EQ(text.find("\nrowan: ", at + 1), std::string::npos) << text;
    const std::vector<fs::path> saved = list_checkpoints(run / "checkpoints");
    ASSERT_EQ(saved.size(), 1u) << text;
    EXPECT_NO_THROW(verify_checkpoint(saved[0]));
    EXPECT_GE(step_of(saved[0]), 3);
    EXPECT_FALSE(fs::exists(run / "lock"));
  }
};

TEST_F(BadData, AnIdOutsideTheVocabularyIsNamedAndWhatWasLearntIsSaved) {
  expect_saved(
      start(train(endless())), run("run"), [&] { spoil(train_shard()); }, "found id 65535, expected less than 257");
  // With the old data, the run goes on.
  write_small_shard(train_shard(), 200'001);
  const int64_t saved = step_of(list_checkpoints(run("run") / "checkpoints")[0]);
  const Outcome again = rowan(train(endless() + fmt::format("--resume --steps {}", saved + 2)));
  EXPECT_EQ(again.code, 0) << again.err;
}

#ifdef ROWAN_MPI
TEST_F(BadData, AShardThatShrinksUnderSeveralRanksIsNamedOnceAndAllSave) {
  const std::string command = mpirun() + " -n 2 " + rowan_command() + " " + train(endless());
  expect_saved(
      start_shell(command), run("run"), [&] { fs::resize_file(train_shard(), 4096); },
      "train.bin: became shorter while it was read");
}

// No rank waits for weights of another one before all have read their data.
TEST_F(BadData, AShardThatOneRankLacksIsNamedAtOnce) {
  fs::create_directories(dir_ / "0");
  fs::create_directories(dir_ / "1");
  fs::copy_file(dir_ / "validation.bin", dir_ / "0/validation.bin");
  write_file_atomically(dir_ / "rank.sh", "cd " + dir_.string() + "/${OMPI_COMM_WORLD_RANK-$PMI_RANK} && exec " +
                                              rowan_command() + " " + train(into("run")) +
                                              " --set data.validation=validation.bin --set shard=optimizer\n");
  const pid_t child = start_shell(mpirun() + " -n 2 sh " + (dir_ / "rank.sh").string());
  EXPECT_EQ(code_of(child), 2) << log();
  EXPECT_NE(log().find("rowan: rank 1: validation.bin: "), std::string::npos) << log();
}

// Each rank reads its own copy of the shard, and only that of rank 1 is spoiled.
TEST_F(BadData, AShardOfOneRankOfSeveralIsNamedAndAllSave) {
  for (const char* shard : {"none", "weights"}) {
    SCOPED_TRACE(shard);
    for (const char* rank : {"0", "1"}) {
      fs::create_directories(dir_ / rank);
      fs::copy_file(train_shard(), dir_ / rank / "train.bin", fs::copy_options::overwrite_existing);
    }
    const std::string name = std::string("run_") + shard;
    write_file_atomically(dir_ / "rank.sh", "cd " + dir_.string() + "/${OMPI_COMM_WORLD_RANK-$PMI_RANK} && exec " +
                                                rowan_command() + " " + train(endless() + into(name)) +
                                                " --set data.train=train.bin --set shard=" + shard + "\n");
    expect_saved(
        start_shell(mpirun() + " -n 2 sh " + (dir_ / "rank.sh").string()), run(name),
        [&] { spoil(dir_ / "1/train.bin"); }, "rank 1: train.bin: token ");
  }
}

TEST_F(BadData, AValidationShardThatShrinksUnderSeveralRanksIsNamedOnceAndAllSave) {
  write_small_shard(dir_ / "validation.bin", 20'001);
  const std::string command = mpirun() + " -n 2 " + rowan_command() + " " +
                              train(endless() + "--set run.eval_every=3 --set run.eval_tokens=20000");
  expect_saved(
      start_shell(command), run("run"), [&] { fs::resize_file(dir_ / "validation.bin", 4096); },
      "validation.bin: became shorter while it was read");
}
#endif

}  // namespace
}  // namespace rowan
