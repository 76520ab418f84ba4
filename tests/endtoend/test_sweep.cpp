// Tests `rowan sweep` with kills at random moments, with runs that fail or diverge, with scripts for Slurm, and with
// mistakes. Also tests `rowan compare` and `rowan report` on the folder of a sweep.
#include <signal.h>

#include <cmath>
#include <fstream>
#include <thread>

#include "base/json.h"
#include "base/random.h"
#include "sweep/sweep_folder.h"
#include "sweep_command.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

class Sweep : public SweepCommand {
 protected:
  void SetUp() override {
    SweepCommand::SetUp();
    write_base(
        {{"dir", "none"}, {"steps", 60}, {"log_every", 1}, {"eval_every", 20}, {"checkpoint_every", 10}, {"keep", 1}});
    const Json sweep = {
        {"base", "base.json"},
        {"dir", (dir_ / "made").string()},
        {"axes", {{"optimizer", {{"adamw", Json::object()}, {"rmnp", {{"optimizer", {{"name", "rmnp"}}}}}}}}},
        {"tune", {{"path", "optimizer.lr"}, {"values", {0.003, 0.01}}, {"extend", 2}, {"farthest", 4}}},
        {"seeds", {1, 2}},
        {"against", "adamw"},
        {"resources", {{"jobs", 2}}}};
    write_file_atomically(file(), sweep.dump(2));
  }
  fs::path file() const { return dir_ / "sweep.json"; }
  std::string into(const std::string& name) const {
    return "sweep " + file().string() + " --set dir=" + (dir_ / name).string() + " ";
  }
  std::string table(const std::string& name) const { return read_file(dir_ / name / "table.md"); }

  static std::vector<pid_t> children_of(pid_t parent) {
    std::vector<pid_t> children;
    std::ifstream list(fmt::format("/proc/{0}/task/{0}/children", parent));
    for (pid_t child; list >> child;) children.push_back(child);
    return children;
  }

  pid_t start(const std::string& arguments) {
    const pid_t process = fork();
    if (process == 0) {
      execl("/bin/sh", "sh", "-c",
            ("exec " + rowan_command() + " " + arguments + " >/dev/null 2>>" + (dir_ / "err").string()).c_str(),
            nullptr);
      _exit(127);
    }
    return process;
  }

  void killed(int times) {
    Outcome whole = rowan(into("whole"));
    ASSERT_EQ(whole.code, 0) << whole.err;
    Random random(11, 0);
    int kills = 0;
    for (int attempt = 0; kills < times && attempt < 40 * times; ++attempt) {
      const pid_t process = start(into("killed"));
      bool ended = false;
      while (!ended) {
        std::this_thread::sleep_for(milliseconds(30 + random.below(400)));
        const std::vector<pid_t> children = children_of(process);
        int status;
        if ((ended = waitpid(process, &status, WNOHANG) == process)) {
          EXPECT_EQ(exit_code(status), 0) << read_file(dir_ / "err");
          EXPECT_EQ(table("killed"), table("whole"));
          fs::remove_all(dir_ / "killed");  // the sweep ended before the kill: start again
        } else if (random.below(2) && !children.empty()) {
          kill(children[random.below(children.size())], SIGKILL);
          ++kills;
        } else {
          kill(process, SIGKILL);
          waitpid(process, nullptr, 0);
          ++kills;
          ended = true;
        }
      }
    }
    EXPECT_GE(kills, times);
    Outcome last = rowan(into("killed"));
    ASSERT_EQ(last.code, 0) << last.err;
    EXPECT_EQ(table("killed"), table("whole"));
    EXPECT_EQ(last.out, whole.out);
  }
};
using LongSweep = Sweep;

// The first cell has one rate, the other one has two.
TEST_F(Sweep, ARateOfAdamWThatIsNotTunedIsSaid) {
  const auto with = [&](const std::string& half) {
    return rowan(into("made") + R"(--set axes='{"optimizer": {"adamw": {}, "muon": {"optimizer": {"name": "muon")" +
                 half + R"(}}}}' --set tune='{"path": "optimizer.lr", "values": [0.003, 0.01]}' --set seeds=[1] )" +
                 "--set set.run.steps=1");
  };
  const Outcome fixed = with("");
  EXPECT_EQ(fixed.code, 0) << fixed.err;
  EXPECT_NE(fixed.err.find("but the AdamW rate of 1 of 2 cells stays, at 0.0003 (muon)"), std::string::npos)
      << fixed.err;
  fs::remove_all(dir_ / "made");
  const Outcome tied = with(R"(, "adamw": {"lr_ratio": 0.1})");
  EXPECT_EQ(tied.code, 0) << tied.err;
  EXPECT_EQ(tied.err.find("stays"), std::string::npos) << tied.err;
}

TEST_F(Sweep, MakesItsTableAndSkipsWhatIsThrough) {
  expect_mistake("sweep " + file().string() + " --list --slurm", "--slurm: found it with --list, expected one of them");
  Outcome listed = rowan("sweep " + file().string() + " --list");
  ASSERT_EQ(listed.code, 0) << listed.err;
  EXPECT_NE(listed.out.find("4 runs are known now, 4 are open"), std::string::npos) << listed.out;
  EXPECT_FALSE(fs::exists(dir_ / "made"));
  EXPECT_NE(rowan("sweep " + file().string() + " --list --only rmnp").out.find("2 runs are known now"),
            std::string::npos);
  expect_mistake("sweep " + file().string() + " --only muon", "--only: found 'muon', which no run has as a label");
  expect_mistake("sweep " + file().string() + " --only ''", "--only: found an empty text");
  Outcome first = rowan("sweep " + file().string());
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_NE(first.out.find("against adamw"), std::string::npos) << first.out;
  EXPECT_NE(first.err.find("adamw_lr0.003_seed1 begins"), std::string::npos) << first.err;
  EXPECT_NE(first.err.find("wrote " + (dir_ / "made/report.html").string()), std::string::npos) << first.err;
  const Json rows = Json::parse(read_file(dir_ / "made/table.json"))["rows"];
  ASSERT_EQ(rows.size(), 2);
  for (const Json& row : rows) {
    EXPECT_EQ(row["seeds"], 2);
    EXPECT_GT(row["deviation"], 0);
  }
  for (const auto& entry : fs::directory_iterator(dir_ / "made"))
    if (const std::string name = entry.path().filename(); !name.ends_with("_seed1") && !name.ends_with("_seed2")) {
      EXPECT_TRUE(is_taken_by_sweep(name)) << name;
    }
  // A second command on the same folder runs nothing again.
  const fs::path left = dir_ / "made/adamw_lr0.01_seed1/lock";
  write_file_atomically(left, "");
  Outcome second = rowan("sweep " + file().string());
  EXPECT_EQ(second.out, first.out);
  EXPECT_EQ(second.err.find("begins"), std::string::npos) << second.err;
  EXPECT_FALSE(fs::exists(left)) << "the lock file of a finished run must be removed";
  // compare reads the folder of the sweep.
  Outcome compared = rowan("compare " + (dir_ / "made").string());
  EXPECT_EQ(compared.out, table("made"));
  Outcome csv = rowan("compare " + (dir_ / "made").string() + " --format csv --metric val_loss");
  EXPECT_EQ(csv.out, read_file(dir_ / "made/table.csv"));
  Outcome report = rowan("report " + (dir_ / "made").string() + " --out " + (dir_ / "page.html").string());
  EXPECT_EQ(report.code, 0) << report.err;
  EXPECT_NE(read_file(dir_ / "page.html").find("Loss against lr"), std::string::npos);
  // Single runs, grouped by their configs.
  const std::string runs = fmt::format("{0}/adamw_lr0.01_seed1 {0}/rmnp_lr0.01_seed1", (dir_ / "made").string());
  Outcome by = rowan("compare " + runs + " --by optimizer.name,optimizer.lr --loss 5.3 --format json");
  ASSERT_EQ(by.code, 0) << by.err;
  EXPECT_EQ(Json::parse(by.out)["rows"].size(), 2);
  EXPECT_NE(rowan("compare " + runs).out.find("best val loss"), std::string::npos);
  expect_mistake("compare " + runs + " --by optimizer.rate", "--by: found 'optimizer.rate', which no run's config has");
  expect_mistake("compare " + runs + " --by run.log_every,run.seed --against 1",
                 "--against: found '1', a label of the axes run.log_every and run.seed; expected a label of one axis");
  expect_mistake("compare " + runs + " --metric loss", "--metric");
  const Outcome lacking = rowan("compare " + runs + " --by optimizer.name --metric val_loss_galore");
  EXPECT_NE(lacking.out.find("2 of 2 runs are finished without val_loss_galore"), std::string::npos) << lacking.out;
  expect_mistake("compare " + (dir_ / "made").string() + " --against muon", "expected the label of a group");
  // Without --by, each run is a group of its own. A run has the targets of the config file that it was started with:
  // here, of those that the sweep wrote.
  const Json target = {{"config", "made/configs/adamw_lr0.01_seed1.json"},
                       {"set", Json::object()},
                       {"metric", "val_loss"},
                       {"nats", 5},
                       {"step", 60},
                       {"source", "Table 1"}};
  write_file_atomically(dir_ / "targets.json", Json{{"targets", {target}}}.dump());
  const std::string targets = " --targets " + (dir_ / "targets.json").string();
  expect_mistake("compare " + runs + " --loss 0", "--loss: found 0, expected 1e-06 to");
  Outcome published = rowan("compare " + runs + targets + " --loss 100 --format json");
  ASSERT_EQ(published.code, 0) << published.err;
  for (const Json& row : Json::parse(published.out)["rows"]) {
    const bool adamw = row["run"].get<std::string>().ends_with("adamw_lr0.01_seed1");
    EXPECT_EQ(row["published"], adamw ? Json(5) : Json()) << row;
    EXPECT_EQ(row["tokens_to_loss"], 1280) << row;  // of the first evaluation, after 20 steps
  }
  const std::string first_run = runs.substr(0, runs.find(' '));
  EXPECT_NE(rowan("compare " + runs + " --against " + first_run).out.find("against " + first_run), std::string::npos);
  expect_mistake("compare " + runs.substr(first_run.size()) + targets,
                 "targets.json: found results of other configs only, expected those of a given run, such as ");
}

// The tables keep the runs that --only leaves out, so that the reference of `against` stays.
TEST_F(Sweep, OnlyLeavesTheOthersInTheTables) {
  const std::string small = R"(--set 'tune={"path": "optimizer.lr", "values": [0.01]}' --set seeds=[1] )";
  const auto runs = [&] { return Json::parse(read_file(dir_ / "made/sweep.json"))["runs"].size(); };
  Outcome part = rowan(into("made") + small + "--only rmnp");
  ASSERT_EQ(part.code, 0) << part.err;
  EXPECT_EQ(part.err.find("adamw_lr0.01 begins"), std::string::npos) << part.err;
  EXPECT_NE(part.out.find("unfinished"), std::string::npos) << part.out;
  EXPECT_EQ(runs(), 2);
  Outcome whole = rowan(into("made") + small);
  ASSERT_EQ(whole.code, 0) << whole.err;
  EXPECT_EQ(whole.err.find("rmnp_lr0.01 begins"), std::string::npos) << whole.err;
  const std::string page = read_file(dir_ / "made/report.html");
  Outcome again = rowan(into("made") + small + "--only rmnp");
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(again.out, whole.out);
  EXPECT_EQ(read_file(dir_ / "made/report.html"), page);
  EXPECT_EQ(runs(), 2);
  const Json rows = Json::parse(read_file(dir_ / "made/table.json"))["rows"];
  ASSERT_EQ(rows.size(), 2);
  EXPECT_NE(rows[0]["difference"].is_number(), rows[1]["difference"].is_number()) << "one row is the reference";
}

TEST_F(Sweep, AddedSeedsRepeatNoRun) {
  ASSERT_EQ(rowan(into("made") + "--set seeds=[1]").code, 0);
  const Outcome more = rowan(into("made"));
  ASSERT_EQ(more.code, 0) << more.err;
  EXPECT_EQ(more.err.find("seed1 begins"), std::string::npos) << more.err;
  EXPECT_NE(more.err.find("seed2 begins"), std::string::npos) << more.err;
  ASSERT_EQ(rowan(into("whole")).code, 0);
  EXPECT_EQ(table("made"), table("whole"));
}

TEST_F(Sweep, RemovedSeedsRepeatNoRun) {
  ASSERT_EQ(rowan(into("made")).code, 0);
  const Outcome less = rowan(into("made") + "--set seeds=[1]");
  ASSERT_EQ(less.code, 0) << less.err;
  EXPECT_EQ(less.err.find("begins"), std::string::npos) << less.err;
  ASSERT_EQ(rowan(into("whole") + "--set seeds=[1]").code, 0);
  EXPECT_EQ(table("made"), table("whole"));
}

TEST_F(Sweep, ThreadsOfARunAreThoseOfItsCores) {
  expect_mistake(into("made") + "--set set.threads=3",
                 "resources.threads: found 1, expected 3, the value of threads in " + (dir_ / "base.json").string());
  EXPECT_FALSE(fs::exists(dir_ / "made"));
  expect_mistake(into("made") + "--slurm --set set.threads=1 --set resources.threads=2", "found 2, expected 1");
  EXPECT_NE(rowan(into("made") + "--slurm --set set.threads=2 --set resources.threads=2").out.find("--cpus-per-task=2"),
            std::string::npos);
}

TEST_F(Sweep, AValueThatItsKeyRefusesEndsTheGrid) {
  const std::string ratio =
      R"(--set 'tune={"path": "schedule.min_lr_ratio", "values": [0.9], "extend": 2, "farthest": 4}' )"
      R"(--set axes={} --set against='""' --set seeds=[1] )";
  Outcome result = rowan(into("made") + ratio);
  ASSERT_EQ(result.code, 0) << result.err;
  const Json row = Json::parse(read_file(dir_ / "made/table.json"))["rows"][0];
  EXPECT_EQ(row["tried"], (Json{0.45, 0.9})) << "1.8 is more than 1";
  EXPECT_EQ(row["best_min_lr_ratio"], 0.9);
  EXPECT_NE(rowan(into("made") + ratio + "--list").out.find("2 runs are known now, 0 are open"), std::string::npos);
}

TEST_F(Sweep, AnotherConfigInTheSameFolderIsRefused) {
  ASSERT_EQ(rowan("sweep " + file().string()).code, 0);
  expect_mistake("sweep " + file().string() + " --set set.batch.sequences=2",
                 "found another config (first difference at batch.sequences)");
}

TEST_F(Sweep, ALauncherStartsTheRanksOfARun) {
  // The script in place of mpirun records its arguments and starts one rank.
  const fs::path launcher = dir_ / "launcher", calls = dir_ / "calls";
  write_file_atomically(launcher, "#!/bin/sh\necho \"$*\" >>" + calls.string() + "\nshift 2\nexec \"$@\"\n");
  fs::permissions(launcher, fs::perms::owner_all);
  const Outcome result = rowan(into("made") + "--only adamw --set seeds=[1] --set resources.jobs=1 --set " +
                               "resources.ranks=2 --set 'resources.launcher=\"" + launcher.string() + " -n {ranks}\"'");
  ASSERT_EQ(result.code, 0) << result.err;
  std::istringstream lines(read_file(calls));
  int runs = 0;
  for (std::string line; std::getline(lines, line); ++runs) {
    EXPECT_TRUE(line.starts_with("-n 2 /")) << line;
    EXPECT_NE(line.find("/rowan train " + (dir_ / "made").string()), std::string::npos) << line;
  }
  EXPECT_GE(runs, 2) << "two learning rates";
}

TEST_F(Sweep, OneRunThatFailsLeavesTheOthersWhole) {
  ASSERT_EQ(rowan(into("whole")).code, 0);
  fs::create_directories(dir_ / "made/diverged");  // the folder of a sweep that has begun
  write_file_atomically(dir_ / "made/rmnp_lr0.01_seed1", "in the way");
  Outcome failed = rowan("sweep " + file().string());
  EXPECT_EQ(failed.code, 2);
  EXPECT_NE(failed.err.find("1 of the runs failed, their logs are in"), std::string::npos) << failed.err;
  EXPECT_NE(failed.err.find("failed, retrying"), std::string::npos) << failed.err;
  EXPECT_TRUE(fs::exists(dir_ / "made/failed/rmnp_lr0.01_seed1.log"));
  EXPECT_NE(failed.out.find("1 (1 open)"), std::string::npos) << failed.out;
  fs::remove_all(dir_ / "made/rmnp_lr0.01_seed1");
  Outcome mended = rowan("sweep " + file().string());
  EXPECT_EQ(mended.code, 0) << mended.err;
  EXPECT_EQ(table("made"), table("whole"));
  EXPECT_FALSE(fs::exists(dir_ / "made/failed/rmnp_lr0.01_seed1.log"));
}

TEST_F(Sweep, ARateThatDivergesIsTheWorstAndIsNotTriedAgain) {
  // A weight decay of 1e6 times a learning rate of 0.01 multiplies the weights by about -1e4.
  const std::string huge = R"( --set 'tune={"path": "optimizer.weight_decay", "values": [0.01, 1e6]}' --set seeds=[1] )"
                           "--set set.optimizer.lr=0.01";
  Outcome result = rowan(into("made") + huge);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.err.find("diverged"), std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("-nan"), std::string::npos) << result.err;
  const Json rows = Json::parse(read_file(dir_ / "made/table.json"))["rows"];
  for (const Json& row : rows) EXPECT_EQ(row["best_weight_decay"], 0.01);
  EXPECT_EQ(rowan(into("made") + huge).err, "rowan: wrote " + (dir_ / "made/report.html").string() + "\n");
  const fs::path note = fs::directory_iterator(dir_ / "made/diverged")->path();
  for (const auto& [text, mistake] :
       {std::pair("{}", ": config: is missing"), std::pair("[]", ": top level: found a list, expected an object"),
        std::pair(R"({"config": 5})", ": top level: found an integer, expected an object")}) {
    write_file_atomically(note, text);
    expect_mistake(into("made") + huge, note.string() + mistake);
  }
}

TEST_F(Sweep, IsStoppedAndGoesOn) {
  ASSERT_EQ(rowan(into("whole")).code, 0);
  const pid_t process = start(into("made"));
  until(process, [&] { return fs::exists(dir_ / "made/rmnp_lr0.003_seed1"); });  // the third of ten runs
  kill(process, SIGTERM);
  EXPECT_EQ(code_of(process), 128 + SIGTERM) << read_file(dir_ / "err");
  ASSERT_EQ(rowan(into("made")).code, 0);
  EXPECT_EQ(table("made"), table("whole"));
}

TEST_F(Sweep, KilledAtRandomEndsInTheSameTable) { killed(5); }
TEST_F(LongSweep, KilledTwentyTimesEndsInTheSameTable) { killed(20); }

TEST_F(Sweep, ASlurmScriptHasTheOpenRuns) {
  Outcome script = rowan("sweep " + file().string() + " --slurm");
  ASSERT_EQ(script.code, 0) << script.err;
  EXPECT_NE(script.out.find("#SBATCH --array=0-3%2"), std::string::npos) << script.out;
  EXPECT_EQ(script.out.find("gpus"), std::string::npos) << "a CPU run";
  const Outcome rmnp = rowan("sweep " + file().string() + " --slurm --only rmnp");
  EXPECT_NE(rmnp.out.find("#SBATCH --array=0-1%2"), std::string::npos) << rmnp.out;
  EXPECT_EQ(rmnp.out.find("adamw"), std::string::npos) << rmnp.out;
  write_file_atomically(dir_ / "job.sh", script.out);
  EXPECT_EQ(shell("bash -n " + (dir_ / "job.sh").string()).code, 0);
  // Runs one task of the array. The script in place of srun runs the arguments after its option. Without the option,
  // Slurm since 22.05 gives a task one core.
  write_file_atomically(dir_ / "srun", "#!/bin/sh\n[ \"$1\" = --cpus-per-task=1 ] || exit 3\nshift\nexec \"$@\"\n");
  fs::permissions(dir_ / "srun", fs::perms::owner_all);
  Outcome task = shell("PATH=" + dir_.string() + ":$PATH SLURM_CPUS_PER_TASK=1 SLURM_ARRAY_TASK_ID=2 bash " +
                       (dir_ / "job.sh").string());
  EXPECT_EQ(task.code, 0) << task.err;
  EXPECT_NE(rowan("sweep " + file().string() + " --slurm").out.find("--array=0-2"), std::string::npos);
}

// Slurm and the shell read the folder's path unchanged, whatever characters the path contains.
TEST_F(Sweep, ASlurmScriptQuotesItsPaths) {
  const fs::path made = dir_ / "bob's runs";
  const Outcome script = rowan("sweep " + file().string() + " --slurm --set 'dir=\"" + dir_.string() +
                               "/bob'\\''s runs/\"' --set resources.jobs=1");
  ASSERT_EQ(script.code, 0) << script.err;
  EXPECT_NE(script.out.find("\n#SBATCH --job-name=bob\\'s\\ runs\n"), std::string::npos) << script.out;
  EXPECT_NE(script.out.find("/bob\\'s\\ runs/logs/slurm-%A_%a.log\n"), std::string::npos) << script.out;
  write_file_atomically(dir_ / "job.sh", script.out);
  write_file_atomically(dir_ / "srun", "#!/bin/sh\necho \"$4\"\n");
  fs::permissions(dir_ / "srun", fs::perms::owner_all);
  const Outcome task = shell("PATH=" + dir_.string() + ":$PATH SLURM_CPUS_PER_TASK=1 SLURM_ARRAY_TASK_ID=0 bash " +
                             (dir_ / "job.sh").string());
  ASSERT_EQ(task.code, 0) << task.err;
  const std::string config = task.out.substr(0, task.out.find('\n'));
  EXPECT_TRUE(config.starts_with(made.string())) << config;
  EXPECT_TRUE(fs::exists(config)) << config;
}

TEST_F(Sweep, EveryMarkOfAnAxisIsReplaced) {
  fs::create_directories(dir_ / "small");
  fs::copy(dir_ / "base.json", dir_ / "small/small.json");
  const Outcome runs = rowan("sweep " + file().string() +
                             " --list --set 'base=\"{size}/{size}.json\"' --set 'axes={\"size\": [\"small\"]}'"
                             " --set against='\"\"'");
  EXPECT_EQ(runs.code, 0) << runs.err;
  EXPECT_NE(runs.out.find("small_lr0.003_seed1"), std::string::npos) << runs.out;
}

// The limit is checked before the cells exist, because 10^12 cells would not fit into memory.
TEST_F(Sweep, TooManyCellsAreRefusedAtOnce) {
  Json axes = Json::object();
  for (const char* path : {"run.steps", "run.eval_every", "run.log_every", "run.checkpoint_every"})
    for (int value = 1; value <= 1000; ++value) axes[path].push_back(value);
  Json sweep = Json::parse(read_file(file()));
  sweep["axes"] = axes;
  sweep["against"] = "";
  write_file_atomically(file(), sweep.dump());
  expect_mistake("sweep " + file().string(), "axes: found 1000000000000 cells, expected at most 100000");
}

// A label must name what its runs use.
TEST_F(Sweep, AnAxisWithoutEffectIsRefused) {
  const std::string plain = "sweep " + file().string() + " --list --set against='\"\"' --set ";
  expect_mistake(plain + "'axes={\"optimizer.lr\": [0.1, 0.2]}'", "found optimizer.lr, which tune.path sets, too");
  const std::string factors = plain + "tune='{\"path\": \"optimizer.lr\", \"factors\": [1, 2]}' --set ";
  expect_mistake(factors + "'axes={\"optimizer.lr\": [0.1, 0.2]}'", "found optimizer.lr, which tune.path sets, too");
  const std::string rates = "{\"low\": {\"optimizer.lr\": 0.1}, \"high\": {\"optimizer.lr\": 0.2}}";
  expect_mistake(plain + "'axes={\"rate\": " + rates + "}'", "found optimizer.lr, which tune.path sets, too");
  const Outcome own = rowan(factors + "'axes={\"rate\": " + rates + "}'");
  EXPECT_EQ(own.code, 0) << own.err;
  EXPECT_NE(own.out.find("low_lr0.2_seed1"), std::string::npos) << own.out;
  EXPECT_NE(own.out.find("high_lr0.4_seed1"), std::string::npos) << own.out;
  expect_mistake(plain + "'axes={\"grad_clip\": [1, 2], \"all\": {\"x\": {\"grad_clip\": 3}}}'",
                 "grad_clip: found 1, but");
  expect_mistake(plain + "'axes={\"all\": {\"x\": {\"grad_clip\": 3}}, \"grad_clip\": [1, 2]}'", ": found 3, but");
  // So must a value that "set" gives to all runs.
  expect_mistake(plain + "set.grad_clip=5 --set 'axes={\"grad_clip\": [1, 2]}'", "--set set.grad_clip: found 5, but");
  // Each config has one axis that names it.
  const std::string config = "{\"x\": {\"config\": \"base.json\"}}";
  for (const char* order : {"{{\"name\": [\"base\"], \"config\": {}}}", "{{\"config\": {}, \"name\": [\"base\"]}}"})
    expect_mistake(plain + "'base=\"{name}.json\"' --set 'axes=" + fmt::format(fmt::runtime(order), config) + "'",
                   "axes: ");
}

TEST_F(Sweep, MistakesAreOneLineAndLeaveNothing) {
  expect_mistake("sweep " + file().string() + " --set against='\"\"' --set 'axes={\"optimizer.lrr\": [1]}'",
                 "unknown key 'lrr'");
  expect_mistake("sweep " + file().string() + " --set tune.values=[]",
                 "found an empty list, expected at least one value");
  for (const char* missing : {"tokenizer=gpt2:absent", "data.hellaswag=absent", "init=absent", "init=absent@best"})
    expect_mistake("sweep " + file().string() + " --set set." + missing, "): absent: no such file");
  expect_mistake("sweep " + file().string() + " --set set.run.patience=2", "): run.patience: found 2, expected 0");
  for (const char* seed : {"18446744073709551615", "-1", "1.5", "1e+300", "\\\"1\\\""})
    expect_mistake("sweep " + file().string() + " --set seeds=[1," + seed + "]",
                   "expected whole numbers from 0 to 9223372036854775807");
  expect_mistake("sweep " + file().string() + " --set tune.values=[0.1,1e30]", "optimizer.lr: found 1e+30");
  expect_mistake("sweep " + file().string() + " --set metric=accuracy", "found 'accuracy', expected one of val_loss");
  expect_mistake("sweep " + (dir_ / "none.json").string(), "none.json");
  EXPECT_FALSE(fs::exists(dir_ / "made"));
}

}  // namespace
}  // namespace rowan
