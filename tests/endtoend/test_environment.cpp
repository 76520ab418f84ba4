// Tests environment variables, limits of the process, and control characters in names.
#include "train_command.h"

namespace rowan {
namespace {

using Environment = TrainCommand;

TEST_F(Environment, ThreadsThatCannotBeAreOneLine) {
  const std::string rest = rowan_command() + " " + "plan " + file().string();
  for (const char* threads : {"100000", "0", "-3", "two", "2,", "2,0", "99999999999999999999", "4097"}) {
    const Outcome result = shell("OMP_NUM_THREADS=" + std::string(threads) + " " + rest);
    EXPECT_EQ(result.code, 2) << threads;
    EXPECT_EQ(result.out, "");
    const std::string line =
        fmt::format("rowan: OMP_NUM_THREADS: found '{}', expected a number from 1 to 4096\n", threads);
    EXPECT_TRUE(result.err.ends_with(line)) << result.err;  // OpenMP may have printed something before
  }
  for (const char* threads : {"1", "2,1", "''"})
    EXPECT_EQ(shell("OMP_NUM_THREADS=" + std::string(threads) + " " + rest).code, 0) << threads;
  // More threads than the limit on address space allows.
  const Outcome refused =
      shell("sh -c 'ulimit -v 4000000; exec " + rowan_command() + " " + train("--set threads=4096 --steps 1") + "'");
  EXPECT_EQ(refused.code, 2) << refused.err;
  EXPECT_NE(refused.err.find("rowan: cannot start 4096 threads: "), std::string::npos) << refused.err;
  EXPECT_FALSE(std::filesystem::exists(run("run")));
}

TEST_F(Environment, TimesThatAreNoneAreOneLine) {
  for (const char* seconds : {"inf", "nan", "1e300", "0", "-1", "5s"}) {
    const Outcome result = shell("ROWAN_TIMEOUT=" + std::string(seconds) + " " + rowan_command() + " " + train());
    EXPECT_EQ(result.code, 2) << seconds;
    EXPECT_EQ(result.err, fmt::format("rowan: ROWAN_TIMEOUT: found '{}', expected a number of seconds above 0, at most "
                                      "100000000\n",
                                      seconds));
  }
  EXPECT_FALSE(std::filesystem::exists(run("run")));
}

// The tests themselves also pass where a folder of the checkout has such a name.
TEST_F(Environment, QuotedPathsAreWordsOfAShell) {
  for (const std::string path : {"/a b/$HOME;(c)", "/it's \"here\"", "/plain_1.0/x-y", "/é &"})
    EXPECT_EQ(shell("printf %s " + quoted(path) + " /z").out, path + "/z");
  EXPECT_EQ(shell("sh -c 'printf %s " + quoted("/a b/$HOME") + "'").out, "/a b/$HOME");
}

// A name may contain a line break or a terminal escape sequence.
TEST_F(Environment, NamesCannotBreakAMessage) {
  for (const char* name : {"'/proc/a\nb'", "'/proc/a\x1b[2Jb'", "'/proc/a\rb'"}) {
    const Outcome result = rowan(train("--set run.dir=" + std::string(name)));
    EXPECT_EQ(result.code, 2);
    EXPECT_NE(result.err.find("rowan: cannot create the directory /proc/a?"), std::string::npos) << result.err;
    expect_mistake("eval " + std::string(name), "/proc/a?");
  }
  const std::string odd = "'" + (dir_ / "a\nb {} %s ").string() + "'";
  EXPECT_EQ(rowan(train("--steps 2 --set run.dir=" + odd)).code, 0);
  EXPECT_EQ(rowan("eval " + odd).code, 0);
}

// With few file descriptors, rowan either reports too many open files or succeeds.
TEST_F(Environment, FewDescriptorsAreOneLineOrEnough) {
  for (int most = 5; most < 14; ++most) {
    const std::string name = fmt::format("run{}", most);
    const Outcome result =
        shell(fmt::format("sh -c 'ulimit -n {}; exec {} {}'", most, rowan_command(), train(into(name))));
    EXPECT_TRUE(result.code == 0 || result.code == 2) << most << result.err;
    EXPECT_EQ(result.code == 2, result.err.find("Too many open files") != std::string::npos) << most << result.err;
    EXPECT_EQ(rowan(train(into(name))).code, 0) << most;
  }
}

}  // namespace
}  // namespace rowan
