// Tests how the runs of a sweep end before they are finished: by a signal to the sweep, by the sweep's death, by an
// error of the sweep itself, and because one of them cannot be started.
#include <signal.h>

#include <csignal>
#include <fstream>

#include "base/json.h"
#include "run/checkpoint.h"
#include "sweep/processes.h"
#include "sweep_command.h"
#include "train/divergence.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class SweepStops : public SweepCommand {
 protected:
  void SetUp() override {
    SweepCommand::SetUp();
    write_base({{"dir", "none"}, {"steps", 100000000}, {"log_every", 1}, {"checkpoint_every", 0}});
  }
  // The command of a sweep whose runs have seeds 1 to `runs` and start together. A launcher without {ranks} gets the
  // number of ranks in its environment.
  std::string sweep(int runs, const std::string& more = "", const std::string& launcher = "") {
    Json json = {{"base", "base.json"},
                 {"dir", (dir_ / "made").string()},
                 {"seeds", Json::array()},
                 {"retries", 0},
                 {"resources", {{"jobs", runs}}}};
    for (int seed = 1; seed <= runs; ++seed) json["seeds"].push_back(seed);
    const std::string told = launcher.find("{ranks}") == std::string::npos ? "env RANKS={ranks} " : "";
    if (!launcher.empty()) json["resources"].update({{"ranks", 2}, {"launcher", told + launcher}});
    write_file_atomically(dir_ / "sweep.json", json.dump(2));
    return "sweep " + (dir_ / "sweep.json").string() + " " + more;
  }
  // Writes a script of sh. Returns the command that runs it.
  std::string script(const std::string& text) {
    write_file_atomically(dir_ / "script.sh", text);
    return "sh " + (dir_ / "script.sh").string();
  }
  fs::path made(const std::string& name) const { return dir_ / "made" / name; }
  // The runs' folders.
  std::vector<fs::path> folders() const {
    std::vector<fs::path> found;
    if (fs::exists(dir_ / "made"))
      for (const auto& entry : fs::directory_iterator(dir_ / "made"))
        if (fs::exists(entry.path() / "metrics.jsonl")) found.push_back(entry.path());
    return found;
  }
  static int64_t newest_step(const fs::path& run) {
    const std::vector<fs::path> all = list_checkpoints(run / "checkpoints");
    return all.empty() ? -1 : step_of(all[0]);
  }
  // The step of the last training row; 0 before the first.
  static int64_t last_row(const fs::path& run) {
    const std::string text = read_file(run / "metrics.jsonl");
    const size_t at = text.rfind("{\"step\":", text.rfind('\n'));
    return at == std::string::npos ? 0 : std::stoll(text.substr(at + 8));
  }
};

#ifdef ROWAN_MPI
// The ranks are started by a script that notes which signals reach them. mpirun passes SIGUSR1 on and lets the ranks
// end by themselves. After a SIGTERM, it would pass on SIGTERM and kill the ranks a second later, which a micro-batch
// of seconds does not survive.
TEST_F(SweepStops, RanksUnderALauncherSaveWhenTheSweepIsStoppedOrKilled) {
  const fs::path signals = dir_ / "signals";
  const std::string launcher = mpirun() + " -n {ranks} " +
                               script(
                                   "for signal in TERM USR1; do\n"
                                   "  trap \"echo $signal >>" +
                                   signals.string() +
                                   "; kill -$signal \\$child\" $signal\n"
                                   "done\n"
                                   "\"$@\" &\n"
                                   "child=$!\n"
                                   "while :; do\n"
                                   "  wait $child\n"
                                   "  code=$?\n"
                                   "  kill -0 $child 2>/dev/null || exit $code\n"
                                   "done\n");
  int64_t before = 0;
  for (int signal : {SIGTERM, SIGINT, SIGKILL}) {
    SCOPED_TRACE(signal);
    write_file_atomically(signals, "");
    const pid_t process = start(sweep(1, "", launcher));
    until(process, [&] { return !folders().empty() && last_row(folders()[0]) > before + 1; });
    ASSERT_EQ(folders().size(), 1u);
    const fs::path run = folders()[0];
    kill(process, signal);
    EXPECT_EQ(code_of(process), signal == SIGKILL ? -SIGKILL : 128 + signal) << log();
    // A killed sweep does not wait for its run, which removes its lock when it has saved.
    for (int i = 0; i < 6000 && fs::exists(run / "lock"); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_FALSE(fs::exists(run / "lock")) << "the ranks did not end by themselves";
    EXPECT_GT(newest_step(run), before) << log();
    EXPECT_NO_THROW(verify_checkpoint(checkpoint_path(run / "checkpoints", newest_step(run))));
    EXPECT_TRUE(fs::is_empty(made("failed"))) << log();
    EXPECT_NE(read_file(signals).find("USR1"), std::string::npos) << read_file(signals);
    EXPECT_EQ(read_file(signals).find("TERM"), std::string::npos) << read_file(signals);
    before = newest_step(run);
  }
}
#endif

// A launcher may end with any code when it was asked to end.
TEST_F(SweepStops, ALauncherThatFailsAfterAStopLeavesItsRunOpen) {
  const std::string launcher = script("trap 'kill -USR1 $child; wait $child; exit 1' USR1\n\"$@\" &\nchild=$!\nwait\n");
  const pid_t process = start(sweep(1, "", launcher));
  until(process, [&] { return !folders().empty() && last_row(folders()[0]) > 0; });
  kill(process, SIGTERM);
  EXPECT_EQ(code_of(process), 128 + SIGTERM) << log();
  EXPECT_GT(newest_step(folders().at(0)), 0) << log();
  EXPECT_TRUE(fs::is_empty(made("failed"))) << log();
}

// The script in place of a launcher exits 12 times as a run does that run.max_seconds ends, with a newer checkpoint
// each time.
TEST_F(SweepStops, SlicesThatMakeProgressAreNoFailures) {
  const std::string starts = (dir_ / "starts").string(), run = made("run").string();
  const std::string slices = "echo >>" + starts + "\ncount=$(wc -l <" + starts +
                             ")\n"
                             "if [ $count -le 12 ]; then\n"
                             "  mkdir -p " +
                             run + "/checkpoints/step_$(printf %08d $count)\n" +
                             "  exit 124\n"
                             "fi\n"
                             "rm -r " +
                             run + "\nexec \"$@\"\n";
  const std::string few = "--set set.run.steps=4";
  const Outcome sliced = rowan(sweep(1, few, script(slices)));
  EXPECT_EQ(sliced.code, 0) << sliced.err;
  EXPECT_EQ(read_file(starts).size(), 13u);
  EXPECT_EQ(newest_step(made("run")), 4);
  // Without a newer checkpoint, it is a run that never ends.
  fs::remove_all(dir_ / "made");
  const Outcome stuck = rowan(sweep(1, few, script("exit 124\n")));
  EXPECT_EQ(stuck.code, 2) << stuck.err;
  EXPECT_NE(stuck.err.find("stopped for the 10th time"), std::string::npos) << stuck.err;
}

TEST_F(SweepStops, AnErrorOfTheSweepLetsItsRunsSave) {
  const pid_t process = start(sweep(2));
  until(process, [&] {
    const std::vector<fs::path> runs = folders();
    return runs.size() == 2 && last_row(runs[0]) > 0 && last_row(runs[1]) > 0;
  });
  // The index cannot be written when the next run ends.
  fs::remove(made("sweep.json"));
  fs::create_directories(made("sweep.json") / "in the way");
  std::ifstream children(fmt::format("/proc/{0}/task/{0}/children", process));
  pid_t killed = 0;
  ASSERT_TRUE(children >> killed);
  kill(killed, SIGKILL);
  EXPECT_EQ(code_of(process), 2) << log();
  EXPECT_NE(log().find("the runs write their checkpoints first"), std::string::npos) << log();
  EXPECT_NE(log().find(made("sweep.json").string()), std::string::npos) << log();
  std::vector<int64_t> saved;
  for (const fs::path& run : folders()) {
    saved.push_back(newest_step(run));
    EXPECT_EQ(fs::exists(run / "lock"), saved.back() < 0) << "only the killed run leaves its lock";
  }
  std::sort(saved.begin(), saved.end());
  ASSERT_EQ(saved.size(), 2u);
  EXPECT_EQ(saved[0], -1) << "the killed run";
  EXPECT_GT(saved[1], 0) << log();
}

TEST_F(SweepStops, ARunThatCannotBeStartedFailsAlone) {
  fs::create_directories(made("logs"));
  fs::create_directories(made("diverged"));  // the folder of a sweep that has begun
  // The script in place of a launcher starts one rank, and notes which signals this rank ignores.
  const std::string launcher =
      script("grep SigIgn /proc/$$/status >>" + (dir_ / "ignored").string() + "\nexec \"$@\"\n");
  const std::string command = sweep(3, "--set set.run.steps=40", launcher);
  const std::string listed = rowan(command + " --list").out;
  std::vector<std::string> names;
  std::istringstream lines(listed);
  for (std::string line; std::getline(lines, line);) names.push_back(line.substr(0, line.find(' ')));
  ASSERT_EQ(names.size(), 4u) << listed;  // three runs and their number
  const fs::path in_the_way = made("logs") / (names[2] + ".log");
  fs::create_directories(in_the_way);
  const Outcome failed = rowan(command);
  EXPECT_EQ(failed.code, 2) << failed.err;
  EXPECT_NE(failed.err.find(names[2] + ": failed: cannot write " + in_the_way.string()), std::string::npos)
      << failed.err;
  EXPECT_NE(failed.err.find("1 of the runs failed"), std::string::npos) << failed.err;
  for (size_t i : {0, 1}) EXPECT_EQ(newest_step(made(names[i])), 40) << failed.err;
  fs::remove(in_the_way);
  EXPECT_EQ(rowan(command).code, 0);
  // The sweep ignores SIGPIPE, and its runs do not inherit that.
  std::ifstream ignored(dir_ / "ignored");
  int starts = 0;
  for (std::string word; ignored >> word >> word; ++starts)
    EXPECT_EQ(std::stoull(word, nullptr, 16) >> (SIGPIPE - 1) & 1, 0u) << word;
  EXPECT_EQ(starts, 3);
}

// Under Slurm, no sweep watches how a run ends. A weight decay of 1e6 times a learning rate of 0.01 multiplies the
// weights by about -1e4.
TEST_F(SweepStops, ASlurmScriptLeavesOutRunsThatDiverged) {
  const std::string command =
      sweep(1, R"(--set 'tune={"path": "optimizer.weight_decay", "values": [0.01, 1e6]}' --set set.optimizer.lr=0.01 )"
               "--set set.run.steps=60 --set set.run.checkpoint_every=10 ");
  const std::string script = command + "--slurm", name = "weight_decay1e+06";
  const fs::path mark = made("diverged") / (name + ".json");
  ASSERT_EQ(rowan(script).code, 0);
  const Outcome task = rowan("train " + made("configs/" + name + ".json").string());
  EXPECT_EQ(task.code, 2) << task.err;
  EXPECT_NE(rowan(command + "--list").out.find("diverged"), std::string::npos);
  EXPECT_FALSE(fs::exists(mark)) << "a list writes nothing";
  const Outcome next = rowan(script);
  ASSERT_EQ(next.code, 0) << next.err;
  EXPECT_NE(next.out.find("--array=0-0"), std::string::npos) << next.out;
  EXPECT_EQ(next.out.find(name + ".json"), std::string::npos) << next.out;
  EXPECT_EQ("rowan: " + Json::parse(read_file(mark))["message"].get<std::string>() + "\n",
            task.err.substr(task.err.rfind("rowan: ")));
  // Its cell is complete when the other run has ended.
  const Outcome rest = rowan(command);
  EXPECT_EQ(rest.code, 0) << rest.err;
  EXPECT_EQ(rest.err.find(name + " begins"), std::string::npos) << rest.err;
  expect_mistake(script, "found no open run");
  // A run that has started again has written more.
  fs::remove(mark);
  std::ofstream(made(name) / "log.txt", std::ios::app) << "resumed\n";
  EXPECT_NE(rowan(script).out.find("--array=0-0"), std::string::npos);
}

// A process of a killed sweep may still save.
TEST_F(SweepStops, AWaitForAnotherProcessIsSaidOnce) {
  fs::create_directories(made("logs"));
  fs::create_directories(made("diverged"));  // the folder of a sweep that has begun
  const std::string command = sweep(1, "--set set.run.steps=4"), said = "run: another process still writes its log";
  auto other = std::make_unique<ProcessLog>(made("logs/run.log"));
  write_file_atomically(dir_ / "log", "");
  const pid_t process = start(command);
  until(process, [&] { return log().find(said) != std::string::npos; });
  std::this_thread::sleep_for(std::chrono::milliseconds(800));  // some more tries
  EXPECT_FALSE(fs::exists(made("configs/run.json"))) << "the other process may read it";
  other.reset();
  EXPECT_EQ(code_of(process), 0) << log();
  EXPECT_EQ(log().find(said), log().rfind(said)) << log();
  EXPECT_EQ(newest_step(made("run")), 4);
}

// The scripts in place of a launcher end without a word. What is in the log before is of an earlier attempt.
TEST_F(SweepStops, AFailureHasTheWordsOfItsOwnAttempt) {
  const std::string begun = (dir_ / "begun").string();
  const Outcome retried =
      rowan(sweep(1, "--set retries=1",
                  script("[ -e " + begun + " ] && exit 3\ntouch " + begun + "\necho 'rowan: a mistake'\nexit 3\n")));
  EXPECT_EQ(retried.code, 2) << retried.err;
  EXPECT_NE(retried.err.find("run: failed, retrying: a mistake"), std::string::npos) << retried.err;
  EXPECT_NE(retried.err.find("run: failed: no message"), std::string::npos) << retried.err;
  write_file_atomically(made("logs/run.log"), fmt::format("rowan: step 2: {} 100 updates\n", says_not_finite));
  const Outcome later = rowan(sweep(1, "", script("exit 3\n")));
  EXPECT_NE(later.err.find("run: failed: no message"), std::string::npos) << later.err;
  EXPECT_TRUE(fs::is_empty(made("diverged"))) << later.err;
  const Outcome launcher = rowan(sweep(1, "", script("echo 'no slots'\necho ---\nexit 1\n")));
  EXPECT_NE(launcher.err.find("run: failed: no message; its log ends with: no slots"), std::string::npos)
      << launcher.err;
}

}  // namespace
}  // namespace rowan
