// `rowan tokenize`, continued after kills at random moments or a full disk, writes the bytes of an undisturbed run.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <map>
#include <thread>
#include <vector>

#include "exit_code.h"
#include "paths.h"
#include "text_files.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

pid_t start(std::vector<std::string> arguments) {
  pid_t child = ::fork();
  if (child != 0) return child;
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  int null = ::open("/dev/null", O_RDWR);
  ::dup2(null, 1);
  ::dup2(null, 2);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

int wait_for(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

std::map<std::string, std::string> contents(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) files[entry.path().filename()] = read_file(entry.path());
  return files;
}

// Runs `command`, which writes `folder`, and kills it at random moments, until it was killed `times` times. Whenever a
// run finishes, the files must equal `expected`. begin() prepares the folder before the first run and after a run that
// finished before its kill.
void killed(int times, std::chrono::microseconds undisturbed, const std::vector<std::string>& command,
            const std::string& folder, const std::map<std::string, std::string>& expected,
            const std::function<void()>& begin) {
  Random random(static_cast<uint64_t>(::getpid()), 0);
  int kills = 0, finished = 0;
  begin();
  for (int run = 0; kills < times && run < 10 * times; ++run) {
    pid_t child = start(command);
    std::this_thread::sleep_for(undisturbed * random.uniform());
    ::kill(child, SIGKILL);
    if (WIFSIGNALED(wait_for(child))) {
      ++kills;
      continue;
    }
    ASSERT_EQ(contents(folder), expected) << "after " << kills << " kills";
    begin();
    ++finished;
  }
  EXPECT_EQ(kills, times) << finished << " runs finished before they were killed";
  ASSERT_EQ(wait_for(start(command)), 0);
  EXPECT_EQ(contents(folder), expected);
}

TEST(TokenizeKill, TwentyTimesAndTheSameBytes) {
  TemporaryFolder folder;
  std::string first = folder.write("a.json.gz", gzip(random_json_lines(1, 8000)));
  std::string second = folder.write("b.jsonl", random_json_lines(2, 8000));
  auto arguments = [&](const char* out) -> std::vector<std::string> {
    return {rowan_binary(),   "tokenize", "--tokenizer",  "bytes",    "--out",     folder / out,
            "--shard-tokens", "700000",   "--validation", "every:50", "--threads", "2",
            "--save-seconds", "0",        first,          second};
  };
  auto began = std::chrono::steady_clock::now();
  ASSERT_EQ(wait_for(start(arguments("whole"))), 0);
  auto undisturbed = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began);
  auto expected = contents(folder / "whole");
  ASSERT_GT(expected.size(), 6u);

  killed(20, undisturbed, arguments("killed"), folder / "killed", expected, [&] { fs::remove_all(folder / "killed"); });
}

TEST(TokenizeKill, WhileItGrows) {
  TemporaryFolder folder;
  std::string first = folder.write("a.jsonl", random_json_lines(1, 3000));
  std::string second = folder.write("b.json.gz", gzip(random_json_lines(2, 9000)));
  auto arguments = [&](const std::string& out, bool grow) -> std::vector<std::string> {
    std::vector<std::string> all = {rowan_binary(),   "tokenize", "--tokenizer",    "bytes", "--out", folder / out,
                                    "--shard-tokens", "700000",   "--save-seconds", "0",     first};
    if (grow) all.push_back(second);
    return all;
  };
  ASSERT_EQ(wait_for(start(arguments("small", false))), 0);
  auto copy = [&](const std::string& name) {
    fs::remove_all(folder / name);
    fs::copy(folder / "small", folder / name);
  };
  copy("whole");
  auto began = std::chrono::steady_clock::now();
  ASSERT_EQ(wait_for(start(arguments("whole", true))), 0);
  auto undisturbed = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began);
  auto expected = contents(folder / "whole");
  ASSERT_GT(expected.size(), contents(folder / "small").size());

  killed(10, undisturbed, arguments("killed", true), folder / "killed", expected, [&] { copy("killed"); });
}

TEST(TokenizeKill, AFullDiskSaysSoAndTheSameCommandGoesOn) {
  TemporaryFolder folder;
  const std::string input = folder.write("a.jsonl", random_json_lines(1, 8000));
  auto tokenize = [&](const char* out, const std::string& limit) {
    const std::string command = limit + "exec " + rowan_command() +
                                " tokenize --tokenizer bytes --save-seconds 0 --out " + folder / out + " " + input +
                                " 2>" + folder / "err";
    return std::system(("sh -c '" + command + "'").c_str());
  };
  ASSERT_EQ(tokenize("whole", ""), 0);
  // A limit on file sizes, in units of 512 bytes, makes writes fail as on a full disk.
  EXPECT_EQ(exit_code(tokenize("out", "ulimit -f 3000; ")), 2);
  const std::string said = read_file(folder / "err");
  EXPECT_NE(said.find("cannot write"), std::string::npos) << said;
  EXPECT_NE(said.find("train-00000.bin"), std::string::npos) << said;
  EXPECT_FALSE(fs::exists(folder / "out/train-00000.bin"));
  ASSERT_EQ(tokenize("out", ""), 0) << read_file(folder / "err");
  EXPECT_EQ(contents(folder / "out"), contents(folder / "whole"));
}

// An interrupted job has finished shards that progress.json does not record yet. A shorter stream does not overwrite
// them, but the run's glob would read them.
TEST(TokenizeKill, AShorterStreamLeavesNoOldShards) {
  TemporaryFolder folder;
  const std::string long_stream = folder.write("long.jsonl", random_json_lines(1, 12000) + "not JSON\n");
  const std::string short_stream = folder.write("short.jsonl", random_json_lines(2, 3000));
  auto tokenize = [&](const char* out, const std::string& input, const char* more) {
    const std::string command = rowan_command() + " tokenize --tokenizer bytes --shard-tokens 100000 --validation " +
                                "every:20 --out " + folder / out + " " + more + " - <" + input + " 2>" + folder / "err";
    return WEXITSTATUS(std::system(command.c_str()));
  };
  ASSERT_EQ(tokenize("whole", short_stream, ""), 0);
  ASSERT_EQ(tokenize("out", long_stream, "--strict"), 2) << "the last line interrupts the job";
  const auto before = contents(folder / "out");
  ASSERT_TRUE(before.contains("train-00020.bin") && before.contains("validation-00000.bin"));
  std::map<std::string, std::string> others;  // names that this job does not use
  for (const char* name : {"train-99.bin.part", "train-00099.bin.bak", "train-000099.bin.part", "test-00099.bin.part"})
    others[name] = read_file(folder.write(std::string("out/") + name, "mine"));
  ASSERT_EQ(tokenize("out", short_stream, ""), 0) << read_file(folder / "err");
  auto expected = contents(folder / "whole");
  expected.merge(others);
  EXPECT_EQ(contents(folder / "out"), expected);
}

}  // namespace
}  // namespace rowan
