// Tests that a run survives signals, kills, a second start, another config, ruined weights, and data that shrinks. Also
// tests which checkpoints a run keeps, when a run ends, how starts are recorded, and schedules that are shortened. A
// long run must not need more and more memory or files.
#include <signal.h>
#include <sys/stat.h>

#include <fstream>
#include <set>
#include <thread>

#include "paths.h"
#include "run/checkpoint.h"
#include "temporary_folder.h"
#include "train_command.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

class Safety : public TrainCommand {
 protected:
  std::vector<std::string> checkpoints() {
    std::vector<std::string> names;
    if (fs::exists(run("run") / "checkpoints"))
      for (const auto& entry : fs::directory_iterator(run("run") / "checkpoints"))
        names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }
  bool evaluated(int step) {
    for (const Json& row : rows(run("run")))
      if (row["step"] == step && row.contains("val_loss")) return true;
    return false;
  }
};

TEST_F(Safety, ItSavesBeforeItEvaluatesAndAStopEndsTheEvaluation) {
  write_small_shard(dir_ / "validation.bin", 4'000'001);
  const std::string more = "--set run.eval_every=4 --set run.log_every=4 --set batch.micro_batch=1 ";
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) {
    fs::remove_all(run("run"));
    const pid_t child = start(train(more + "--set run.eval_tokens=0 "));
    until(child, [&] { return !checkpoints().empty() && checkpoints()[0] == "step_00000004"; });
    kill(child, signal);
    EXPECT_EQ(code_of(child), 128 + signal) << log();
    EXPECT_EQ(checkpoints(), std::vector<std::string>{"step_00000004"});
    EXPECT_FALSE(evaluated(4)) << "the evaluation was too short for this test";
  }
  // The continued run repeats the evaluation that the stop had interrupted. The continued run has the rows and weights
  // of an undisturbed run.
  const std::string less = more + "--set run.eval_tokens=64 ";
  ASSERT_EQ(rowan(train(less)).code, 0);
  ASSERT_EQ(rowan(train(less + into("whole"))).code, 0);
  EXPECT_TRUE(evaluated(4));
  EXPECT_EQ(rows(run("run")), rows(run("whole")));
  EXPECT_EQ(weights(run("run"), 12), weights(run("whole"), 12));
}

TEST_F(Safety, AKillBetweenTheLastSaveAndItsEvaluationLosesNothing) {
  ASSERT_EQ(rowan(train(into("whole"))).code, 0);
  ASSERT_EQ(rowan(train()).code, 0);
  const std::string metrics = read_file(run("run") / "metrics.jsonl");
  const size_t last = metrics.rfind("{\"step\":12,\"val_loss\"");
  ASSERT_NE(last, std::string::npos);
  write_file_atomically(run("run") / "metrics.jsonl", metrics.substr(0, last));
  ASSERT_EQ(rowan(train()).code, 0);
  EXPECT_EQ(rows(run("run")), rows(run("whole")));
}

TEST_F(Safety, AStopIsSeenBetweenMicroBatches) {
  const pid_t child = start(train("--set batch.sequences=1000000000 --set batch.micro_batch=1"));
  until(child, [&] { return fs::exists(run("run") / "metrics.jsonl"); });
  kill(child, SIGTERM);
  EXPECT_EQ(code_of(child), 143) << log();
  EXPECT_TRUE(rows(run("run")).empty()) << "the step was too short for this test";
  EXPECT_TRUE(checkpoints().empty()) << "nothing was learnt yet";
  ASSERT_EQ(rowan(train("--resume")).code, 2);
}

TEST_F(Safety, NohupIsRespected) {
  ASSERT_EQ(signal(SIGHUP, SIG_IGN), SIG_DFL);
  const pid_t without = start(train("--set run.steps=1000000"));
  signal(SIGHUP, SIG_DFL);
  until(without, [&] { return !checkpoints().empty(); });
  kill(without, SIGHUP);
  const size_t size = fs::file_size(run("run") / "metrics.jsonl");
  until(without, [&] { return fs::file_size(run("run") / "metrics.jsonl") > size + 1000; });
  kill(without, SIGTERM);
  EXPECT_EQ(code_of(without), 143);
}

TEST_F(Safety, TimeEndsARunAndMakesCheckpoints) {
  const std::string endless = "--set run.steps=100000000 --set run.log_every=1000 --set run.checkpoint_every=0 ";
  const pid_t child = start(train(endless + "--set run.max_seconds=1"));
  EXPECT_EQ(code_of(child), 124) << log();
  EXPECT_EQ(checkpoints().size(), 1u);
  EXPECT_NE(log().find("the same command continues"), std::string::npos) << log();

  const auto begin = std::chrono::steady_clock::now();
  const pid_t saving = start(train(endless + "--set run.checkpoint_seconds=1 --set run.keep=0"));
  until(saving, [&] { return checkpoints().size() >= 3; });
  const auto more = static_cast<double>(checkpoints().size() - 1);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  EXPECT_GE(seconds.count(), more) << "each checkpoint comes a second after the one before it";
  kill(saving, SIGTERM);
  EXPECT_EQ(code_of(saving), 143) << log();
}

TEST_F(Safety, ARunHasOneOwner) {
  const std::string more = "--set run.steps=100000000 --set run.log_every=1000 --set run.checkpoint_every=1000 ";
  const pid_t child = start(train(more));
  until(child, [&] { return !checkpoints().empty(); });
  Outcome second = rowan(train(more));
  EXPECT_EQ(second.code, 2);
  EXPECT_NE(second.err.find(fmt::format("another process trains this run: process {} on ", child)), std::string::npos)
      << second.err;
  EXPECT_EQ(waitpid(child, nullptr, WNOHANG), 0) << "the first process must continue";
  kill(child, SIGKILL);
  EXPECT_EQ(code_of(child), -SIGKILL);
  EXPECT_TRUE(fs::exists(run("run") / "lock"));
  const pid_t third = start(train(more));
  until(third, [&] { return read_file(run("run") / "log.txt").find("resumed from") != std::string::npos; });
  kill(third, SIGTERM);
  EXPECT_EQ(code_of(third), 143) << log();
  EXPECT_FALSE(fs::exists(run("run") / "lock"));
}

TEST_F(Safety, AnotherConfigNeverWipesARun) {
  // Makes the folder of a run that has no checkpoint.
  auto killed = [&] {
    fs::remove_all(run("run"));
    ASSERT_EQ(rowan(train()).code, 0);
    fs::remove_all(run("run") / "checkpoints");
  };
  killed();
  const std::string metrics = read_file(run("run") / "metrics.jsonl");
  expect_mistake(train("--set optimizer.lr=0.5"), "optimizer.lr: 0.01 there, 0.5 here) and no checkpoint");
  EXPECT_EQ(read_file(run("run") / "metrics.jsonl"), metrics);
  EXPECT_TRUE(fs::exists(run("run") / "tensorboard"));

  // The same config starts anew, and a message names the folder with the old files.
  Outcome anew = rowan(train());
  ASSERT_EQ(anew.code, 0) << anew.err;
  EXPECT_NE(anew.err.find("found no checkpoint: starting from step 0; the earlier files are now in " +
                          (run("run") / "earlier-1").string()),
            std::string::npos)
      << anew.err;
  EXPECT_EQ(read_file(run("run") / "earlier-1/metrics.jsonl"), metrics);
  EXPECT_TRUE(fs::exists(run("run") / "earlier-1/tensorboard"));

  // A folder that never held a run.
  fs::create_directories(run("mine") / "tensorboard");
  write_file_atomically(run("mine") / "tensorboard/mine.txt", "kept");
  expect_mistake(train(into("mine")), "found tensorboard without config.json");
  write_file_atomically(run("mine") / "config.json", "{\"data\": 1}");
  write_file_atomically(run("mine") / "metrics.jsonl", "kept");
  expect_mistake(train(into("mine")), "expected the config of this run");
  EXPECT_EQ(read_file(run("mine") / "tensorboard/mine.txt") + read_file(run("mine") / "metrics.jsonl"), "keptkept");
}

TEST_F(Safety, RuinedWeightsNeverPushOutGoodOnes) {
  const std::string keep = "--set run.keep=2 --set run.checkpoint_every=2 ";
  ASSERT_EQ(rowan(train(keep + into("whole"))).code, 0);
  ASSERT_EQ(rowan(train(keep)).code, 0);
  fs::remove_all(run("run") / "checkpoints/step_00000012");
  ASSERT_EQ(checkpoints(), std::vector<std::string>{"step_00000010"});
  Outcome absurd = rowan(train(keep + "--resume --set optimizer.lr=1e6 --set run.steps=20"));
  EXPECT_EQ(absurd.code, 2) << absurd.err;
  EXPECT_NE(
      absurd.err.find(" times the largest so far; this checkpoint is kept as ruined_*; the last sound checkpoint is "
                      "step_00000010; to go back to it, run rowan train CONFIG --from 10 with another"),
      std::string::npos)
      << absurd.err;
  const std::vector<std::string> after = checkpoints();
  ASSERT_EQ(after.size(), 2u);
  EXPECT_TRUE(after[0].starts_with("ruined_")) << after[0];
  EXPECT_EQ(after[1], "step_00000010");
  for (const std::string& command :
       {"eval " + run("run").string(), "generate " + run("run").string() + " --tokens 1"}) {
    const Outcome used = rowan(command + " --device cpu");
    EXPECT_EQ(used.code, 0) << used.err;
    EXPECT_NE(used.err.find("using step_00000010; skipping the later " + after[0]), std::string::npos) << used.err;
  }
  // Runs the command that the message names.
  Outcome back = rowan(train(keep + "--from 10"));
  ASSERT_EQ(back.code, 0) << back.err;
  EXPECT_EQ(weights(run("run"), 12), weights(run("whole"), 12));
  EXPECT_EQ(rows(run("run")), rows(run("whole")));
  EXPECT_TRUE(fs::exists(run("run") / "earlier-1" / after[0])) << "it is not of the run that went back";
  EXPECT_EQ(rowan("eval " + run("run").string() + " --device cpu").err.find("ruined"), std::string::npos);
}

// The weights shrink here, so a run that forgot the largest norm at its resume would save a smaller one.
TEST_F(Safety, AResumedRunKnowsTheLargestValuesSoFar) {
  write_small_run(run("large"), small_llama());
  const std::string more = "--set optimizer='{\"name\": \"adamw\", \"lr\": 0.001, \"weight_decay\": 50}' --set init=" +
                           run("large").string();
  ASSERT_EQ(rowan(train(more)).code, 0);
  auto state = [&](int step) {
    return Json::parse(read_file(checkpoint_path(run("run") / "checkpoints", step) / "state.json"));
  };
  const Json first = state(4), whole = state(12);
  for (const char* key : {"largest_norm", "largest_loss"}) ASSERT_EQ(whole[key], first[key]) << "it must not rise";
  fs::remove_all(run("run") / "checkpoints/step_00000012");
  ASSERT_EQ(rowan(train(more)).code, 0);
  for (const char* key : {"largest_norm", "largest_loss"}) EXPECT_EQ(state(12)[key], whole[key]) << key;
}

TEST_F(Safety, GoingBackSetsAsideWhatCameAfter) {
  ASSERT_EQ(rowan(train()).code, 0);
  const std::string lower = "--from 4 --set optimizer.lr=0.005 ";
  Outcome back = rowan(train(lower));
  ASSERT_EQ(back.code, 0) << back.err;
  EXPECT_TRUE(fs::exists(run("run") / "earlier-1/step_00000012"));
  EXPECT_TRUE(fs::exists(run("run") / "earlier-1/metrics.jsonl"));
  for (int repetition = 0; repetition < 2; ++repetition) {  // as a restart loop runs the command after crashes
    fs::remove_all(run("run") / "checkpoints/step_00000012");
    Outcome again = rowan(train(lower));
    ASSERT_EQ(again.code, 0) << again.err;
    EXPECT_NE(again.err.find("resumed from " + (run("run") / "checkpoints/step_00000008").string()), std::string::npos)
        << again.err;
    EXPECT_NE(again.err.find("--from 4: the last start of this run did so; it goes on from step 8"), std::string::npos)
        << again.err;
    EXPECT_FALSE(fs::exists(run("run") / "earlier-2")) << repetition;
  }
  expect_mistake(train("--from 8 --steps 6"), "--from: found 8, expected at most run.steps, which is 6");
  EXPECT_FALSE(fs::exists(run("run") / "earlier-2"));
  expect_mistake(train("--from 5"), "--from: found 5, expected one of the steps 12 8 4");
  expect_mistake(train(into("absent") + " --from 5"), "found no checkpoint");
}

TEST_F(Safety, GoingBackWorksAcrossFileSystems) {
  if (!fs::is_directory("/dev/shm")) GTEST_SKIP() << "this machine has no second file system";
  const TemporaryFolder other("/dev/shm");
  struct stat here, there;
  ASSERT_EQ(::stat(dir_.c_str(), &here), 0);
  ASSERT_EQ(::stat((other / "").c_str(), &there), 0);
  if (here.st_dev == there.st_dev) GTEST_SKIP() << "the folder of this test is on the same file system";
  ASSERT_EQ(rowan(train()).code, 0);
  const fs::path moved = other / "checkpoints";
  fs::copy(run("run") / "checkpoints", moved, fs::copy_options::recursive);
  fs::remove_all(run("run") / "checkpoints");
  fs::create_directory_symlink(moved, run("run") / "checkpoints");
  const Outcome back = rowan(train("--from 4 --set optimizer.lr=0.005"));
  ASSERT_EQ(back.code, 0) << back.err;
  EXPECT_TRUE(fs::exists(moved / "earlier-1/step_00000012"));
  EXPECT_TRUE(fs::exists(moved / "step_00000012")) << "of the new course";
  EXPECT_TRUE(fs::exists(run("run") / "earlier-1/metrics.jsonl"));
  EXPECT_FALSE(fs::exists(run("run") / "earlier-2"));
}

TEST_F(Safety, EveryStartIsRecorded) {
  ASSERT_EQ(rowan(train()).code, 0);
  ASSERT_EQ(rowan(train("--resume --set run.steps=16")).code, 0);
  std::istringstream lines(read_file(run("run") / "starts.jsonl"));
  std::vector<Json> starts;
  for (std::string line; std::getline(lines, line);) starts.push_back(Json::parse(line));
  ASSERT_EQ(starts.size(), 2u);
  EXPECT_EQ(starts[0]["config"]["run"]["steps"], 12) << "the record of the first start must keep its config";
  EXPECT_EQ(starts[0]["world_size"], 1);
  EXPECT_EQ(starts[1]["changes"], (Json{{"/run/steps", {{"from", 12}, {"to", 16}}}}));
  EXPECT_EQ(starts[1]["step"], 12);
  EXPECT_EQ(starts[1]["command"][1], "train");
  EXPECT_EQ(starts[1]["file"], starts[1]["command"][2]);
  const std::string metrics = read_file(run("run") / "metrics.jsonl");
  EXPECT_NE(metrics.find("{\"step\":12,\"resume\":{"), std::string::npos) << metrics;
}

TEST_F(Safety, TheBestAndMilestonesAreKeptAndPatienceEndsARun) {
  // At this learning rate the loss soon rises.
  const std::string more =
      "--set optimizer.lr=0.3 --set schedule.name=constant --set run.steps=60 --set run.checkpoint_every=0 "
      "--set run.eval_every=2 --set run.keep=1 --set run.keep_best=true --set run.keep_every=7 --set run.patience=4 ";
  Outcome result = rowan(train(more));
  ASSERT_EQ(result.code, 0) << result.err;
  std::vector<std::pair<double, int>> losses;
  for (const Json& row : rows(run("run")))
    if (row.contains("val_loss")) losses.emplace_back(row["val_loss"], row["step"]);
  const auto best = *std::min_element(losses.begin(), losses.end());
  const int last = losses.back().second;
  ASSERT_EQ(last, best.second + 8) << "the loss does not rise";
  std::vector<std::string> want;
  for (int step = 1; step <= last; ++step)
    if (step % 7 == 0 || step == best.second || step == last) want.push_back(fmt::format("step_{:08}", step));
  EXPECT_EQ(checkpoints(), want);
  EXPECT_NE(result.err.find(fmt::format("ends after step {}", last)), std::string::npos) << result.err;
  ASSERT_EQ(rowan(train(more)).code, 0) << "a finished run does nothing";
  EXPECT_EQ(checkpoints(), want);
  // It counts as finished, with its last evaluation.
  const std::string folder = run("run").string(), config_before = read_file(run("run") / "config.json");
  const Outcome compared = rowan("compare " + folder + " --by optimizer.name --format json");
  const Json table = Json::parse(compared.out);
  EXPECT_EQ(table["rows"][0]["val_loss"], losses.back().first) << compared.out;
  EXPECT_EQ(table["notes"][0], fmt::format("{} ended at step {} of 60, by run.patience", folder, last));
  expect_mistake(train(more + "--resume --set grad_clip=3"),
                 "the run is done, so no step would be taken with the new config (first difference at grad_clip: 0.0 "
                 "there, 3.0 here); choose a larger run.patience");
  EXPECT_EQ(read_file(run("run") / "config.json"), config_before);
  ASSERT_EQ(rowan(train(more + "--set run.patience=5")).code, 0);
  EXPECT_GE(rows(run("run")).back()["step"], last + 2);
  Json without = config();
  without["data"].erase("validation");
  write_config(without);
  for (const char* key : {"patience=1", "keep_best=true"})
    expect_mistake(train(into("none") + " --set run." + key), ": needs data.validation");
}

// A step whose update is skipped has no checkpoint. So it can be neither the best one nor a milestone.
TEST_F(Safety, SkippedUpdatesCostNeitherTheBestNorMilestones) {
  constexpr int last = 28, every = 5;
  bool met = false;  // the lowest loss was at a skipped step, and the best checkpoint is not among the newest
  for (int seed = 1; seed <= 12 && !met; ++seed) {
    fs::remove_all(run("run"));
    const Outcome result = rowan(
        train("--set optimizer.lr=0.5 --set schedule.name=constant --set run.checkpoint_every=0 --set run.eval_every=2 "
              "--set run.keep=1 --set run.keep_best=true --set skip.grad_norm_zscore=0.5 --set skip.window=2 " +
              fmt::format("--set run.seed={} --steps {} --set run.keep_every={}", seed, last, every)));
    ASSERT_EQ(result.code, 0) << result.err;
    auto skipped = [&](int step) {
      return step != last && result.err.find(fmt::format("step {}: the gradient", step)) != std::string::npos;
    };
    std::pair<double, int> lowest{1e9, 0}, best{1e9, 0};
    for (const Json& row : rows(run("run"))) {
      if (!row.contains("val_loss")) continue;
      const std::pair<double, int> now(row["val_loss"], row["step"]);
      lowest = std::min(lowest, now);
      if (!skipped(now.second)) best = std::min(best, now);
    }
    std::set<int> steps{best.second, last};
    for (int milestone = every; milestone <= last; milestone += every) {
      int step = milestone;
      while (skipped(step)) ++step;
      steps.insert(step);
    }
    std::vector<std::string> want;
    for (int step : steps) want.push_back(fmt::format("step_{:08}", step));
    EXPECT_EQ(checkpoints(), want) << result.err;
    met = skipped(lowest.second) && best.second < last - 4;
  }
  EXPECT_TRUE(met) << "no seed tests the best checkpoint";
}

// A process with 64 file descriptors cannot remove folders that are nested more deeply. This also holds for root.
TEST_F(Safety, OldCheckpointsThatCannotBeRemovedDoNotEndARun) {
  const std::string more = "--set run.checkpoint_every=2 ";
  ASSERT_EQ(rowan(train(more + "--steps 6")).code, 0);
  fs::path deep = run("run") / "checkpoints/step_00000006.part";
  for (int level = 0; level < 100; ++level) deep /= "d";
  fs::create_directories(deep);
  const Outcome result =
      shell("ulimit -n 64; " + rowan_command() + " " + train(more + "--resume --steps 14 --set run.keep=1"));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(checkpoints(), (std::vector<std::string>{"step_00000006", "step_00000006.part", "step_00000014"}));
  const std::string text = fmt::format("warning: cannot remove old checkpoints: {}: Too many open files",
                                       (run("run") / "checkpoints/step_00000006.part").string());
  size_t said = 0;
  for (size_t at = 0; (at = result.err.find(text, at)) != std::string::npos; ++at) ++said;
  EXPECT_EQ(said, 2u) << "expected a line at the start, and one for all four saves: " << result.err;
}

TEST_F(Safety, AShardThatShrinksIsNamedAndWhatWasLearntIsSaved) {
  write_small_shard(dir_ / "train.bin", 200'001);
  const pid_t child = start(train("--set run.steps=100000000 --set run.log_every=1000 --set run.checkpoint_every=0"));
  until(child, [&] { return fs::exists(run("run") / "metrics.jsonl") && !rows(run("run")).empty(); });
  fs::resize_file(dir_ / "train.bin", 4096);
  EXPECT_EQ(code_of(child), 2) << log();
  EXPECT_NE(log().find("train.bin: became shorter while it was read"), std::string::npos) << log();
  EXPECT_EQ(checkpoints().size(), 1u);
}

TEST_F(Safety, ASmokeRunNeedsNoOtherConfig) {
  Outcome smoke = rowan(train("--set schedule.warmup_steps=500 --steps 4"));
  ASSERT_EQ(smoke.code, 0) << smoke.err;
  EXPECT_NE(smoke.err.find("shortened to 1: the 500 of the config are longer than the run"), std::string::npos);
  EXPECT_EQ(rows(run("run")).back()["step"], 4);

  Json wsd = config();
  wsd["schedule"] = {{"name", "wsd"}, {"warmup_steps", 2}, {"decay_steps", 9}};
  wsd["optimizer"]["groups"] = {{{"roles", {"embedding"}}, {"schedule", {{"name", "wsd"}, {"decay_steps", 50}}}}};
  write_config(wsd);
  Outcome shorter = rowan(train(into("wsd") + " --steps 4"));
  ASSERT_EQ(shorter.code, 0) << shorter.err;
  for (const char* note : {"shortened to 2: the 9 of the config do not fit into the run",
                           "shortened to 4: the 50 of the config do not fit into the run"})
    EXPECT_NE(shorter.err.find(note), std::string::npos) << shorter.err;
  auto rate = [&](int step) {
    for (const Json& row : rows(run("wsd")))
      if (row["step"] == step && row.contains("lr")) return row["lr"].get<double>();
    return -1.0;
  };
  EXPECT_NEAR(rate(4), 0.01 / 2, 1e-12);
  // With more steps, the same run has the requested schedule.
  ASSERT_EQ(rowan(train(into("wsd") + " --resume --steps 12")).code, 0);
  expect_mistake(train(into("wsd") + " --resume --steps 5"), "the run is at step 12 and run.steps is 5");
  EXPECT_NEAR(rate(12), 0.01 / 9, 1e-12);
}

using LongSafety = Safety;

TEST_F(LongSafety, TwentyThousandStepsTakeNoMoreMemoryAndFiles) {
  const pid_t child =
      start(train("--set run.steps=20000 --set run.log_every=20 --set run.checkpoint_every=200 --set run.keep=2 "
                  "--set run.eval_every=200 --set run.eval_tokens=64"));
  const std::string process = "/proc/" + std::to_string(child);
  // The largest use of memory, files and threads, in the first 4,000 steps (or more, if the machine is so fast that it
  // takes few samples in them) and in those up to step 19,800. The last steps do not count, because a run reads all its
  // metrics at its end.
  struct Use {
    int64_t pages = 0, files = 0, threads = 0;
  };
  Use early, late;
  constexpr int enough = 20;  // samples
  int early_samples = 0, late_samples = 0;
  bool counts_late = false, ends = false;
  while (::waitpid(child, nullptr, WNOHANG) == 0) {
    const std::vector<std::string> saved = checkpoints();
    const std::string newest = saved.empty() ? "" : saved.back();
    counts_late = counts_late || (newest >= "step_00004000" && early_samples >= enough);
    ends = ends || newest >= "step_00019800";
    std::this_thread::sleep_for(milliseconds(1));
    if (ends) continue;
    std::error_code error;
    auto entries = [&](const char* folder) {
      int64_t count = 0;
      for (auto at = fs::directory_iterator(process + folder, error); !error && at != fs::directory_iterator();
           at.increment(error))
        ++count;
      return count;
    };
    int64_t pages = 0, resident = 0;
    std::ifstream(process + "/statm") >> pages >> resident;
    Use& use = counts_late ? late : early;
    ++(counts_late ? late_samples : early_samples);
    use.pages = std::max(use.pages, resident);
    use.files = std::max(use.files, entries("/fd"));
    use.threads = std::max(use.threads, entries("/task"));
  }
  EXPECT_EQ(rows(run("run")).back()["step"], 20000) << log();
  ASSERT_GE(early_samples, enough);
  ASSERT_GE(late_samples, enough);
  EXPECT_LE(late.pages, early.pages + early.pages / 50) << "pages of memory";
  EXPECT_LE(late.files, early.files);
  EXPECT_LE(late.threads, early.threads);
}

}  // namespace
}  // namespace rowan
