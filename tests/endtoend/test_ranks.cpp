// Tests `mpirun rowan train`. A checkpoint of four ranks must continue on other numbers of ranks. If a rank dies or
// hangs, the other ranks must end. Also tests stop signals, scripts/resume.sh, given weights, batch means, ranks that
// differ, and mistakes.
#ifdef ROWAN_MPI

#include <signal.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "command.h"
#include "paths.h"
#include "small_run.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// The process id of the parent, or 0 if `process` has ended.
pid_t parent_of(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string stat((std::istreambuf_iterator<char>(file)), {});  // pid (name) state parent
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos || stat[name_end + 2] == 'Z') return 0;
  return std::atoi(stat.c_str() + name_end + 4);
}

std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const pid_t process = std::atoi(entry.path().filename().c_str());
    if (process > 0 && parent_of(process) == parent) children.push_back(process);
  }
  return children;
}

// Waits for the end of the processes, but no longer than 60 s after `begin`. Returns the seconds since `begin`. A rank
// may outlive mpirun for a moment.
double seconds_until_all_ended(const std::vector<pid_t>& processes, Clock::time_point begin) {
  for (pid_t process : processes) {
    while (parent_of(process) && seconds_since(begin) < 60) std::this_thread::sleep_for(milliseconds(20));
  }
  return seconds_since(begin);
}

class Ranks : public CommandTest {
 protected:
  void SetUp() override {
    CommandTest::SetUp();
    write_small_shard(dir_ / "train.bin", 3001);
    Json config = {{"model", small_llama()},
                   {"tokenizer", "bytes"},
                   {"data", {{"train", (dir_ / "train.bin").string()}}},
                   {"batch", {{"sequences", 12}, {"sequence_length", 16}, {"micro_batch", 1}}},
                   {"optimizer", {{"name", "muon"}, {"lr", 0.01}}},
                   {"schedule", {{"name", "cosine"}, {"warmup_steps", 2}}},
                   {"grad_clip", 1.0},
                   {"device", "cpu"},
                   {"threads", 1},
                   {"precision", "fp32"},
                   {"run", {{"dir", "run"}, {"steps", 30}, {"log_every", 1}, {"checkpoint_every", 10}}}};
    write_file_atomically(file(), config.dump(2));
  }
  fs::path file() const { return dir_ / "config.json"; }
  fs::path run(const std::string& name) const { return dir_ / name; }

  // The command that trains on `ranks` ranks into `run`, with environment variables before it.
  std::string command(int ranks, const std::string& run, const std::string& more = "",
                      const std::string& environment = "") {
    return environment + " " + mpirun() + " -n " + std::to_string(ranks) + " " + rowan_command() + " train " +
           file().string() + " --set run.dir=" + (dir_ / run).string() + " " + more;
  }
  // The command that runs commands[r] on rank r. mpirun's own syntax, COMMAND : COMMAND, ends in a segmentation fault
  // with the OpenMPI 5.0.7 of Debian 13 (open-mpi/ompi, issue 13303).
  std::string one_each(const std::vector<std::string>& commands) {
    std::string script = "case ${OMPI_COMM_WORLD_RANK-$PMI_RANK} in\n";
    for (size_t rank = 0; rank < commands.size(); ++rank) script += fmt::format("{}) {} ;;\n", rank, commands[rank]);
    write_file_atomically(dir_ / "one_each.sh", script + "esac\n");
    return fmt::format("{} -n {} sh {}", mpirun(), commands.size(), (dir_ / "one_each.sh").string());
  }
  static std::string shard(const std::string& setting) { return " --set shard=" + setting; }

  static std::map<int, double> losses(const fs::path& run) {
    std::map<int, double> result;
    std::istringstream lines(read_file(run / "metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      Json row = Json::parse(line);
      if (row.contains("loss")) result[row["step"].get<int>()] = row["loss"].get<double>();
    }
    return result;
  }
  static void expect_same_losses(const std::map<int, double>& got, const std::map<int, double>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (auto [step, loss] : want) EXPECT_NEAR(got.at(step), loss, 1e-5) << "step " << step;
  }
  // The names and contents of a checkpoint's safetensors files.
  static std::string bytes_of(const fs::path& run, int step) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(run / fmt::format("checkpoints/step_{:08}", step)))
      if (entry.path().filename().string().find(".safetensors") != std::string::npos) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    std::string bytes;
    for (const fs::path& path : files) bytes += path.filename().string() + read_file(path);
    return bytes;
  }

  // Copies the run `from` to `to`, without the checkpoints of steps 20 and 30 and with empty metrics.
  void cut(const std::string& from, const std::string& to) {
    fs::remove_all(run(to));
    fs::copy(run(from), run(to), fs::copy_options::recursive);
    for (int step : {20, 30}) fs::remove_all(run(to) / fmt::format("checkpoints/step_{:08}", step));
    std::ofstream(run(to) / "metrics.jsonl", std::ios::trunc);
  }

  void saved_on_four_goes_on(const std::vector<std::string>& settings) {
    ASSERT_EQ(rowan("train " + file().string() + " --set run.dir=" + run("alone").string()).code, 0);
    std::map<int, double> want = losses(run("alone"));
    for (const std::string& before : settings) {
      Outcome saved = shell(command(4, "four" + before, shard(before)));
      ASSERT_EQ(saved.code, 0) << saved.err;
      expect_same_losses(losses(run("four" + before)), want);
      for (int ranks : {1, 2, 3}) {
        const std::string& after = settings[(ranks + (before.size() % 2)) % settings.size()];
        SCOPED_TRACE(before + " on 4 to " + after + " on " + std::to_string(ranks));
        cut("four" + before, "cut");
        Outcome resumed = shell(command(ranks, "cut", shard(after)));
        ASSERT_EQ(resumed.code, 0) << resumed.err;
        EXPECT_NE(resumed.err.find("resumed from"), std::string::npos);
        auto got = losses(run("cut"));
        EXPECT_EQ(got.begin()->first, 11);
        for (auto [step, loss] : got) EXPECT_NEAR(loss, want.at(step), 1e-5) << "step " << step;
        EXPECT_EQ(got.rbegin()->first, 30);
      }
    }
  }

  // Starts `command` in the background and waits up to 60 s until it has `ranks` child processes. Returns 0 if the
  // command ends first.
  pid_t start(const std::string& command, int ranks, std::vector<pid_t>& processes) {
    const pid_t launcher = fork();
    if (launcher == 0) {
      const std::string log = (dir_ / "log").string();
      execl("/bin/sh", "sh", "-c", ("exec env " + command + " >" + log + " 2>&1").c_str(), nullptr);
      _exit(127);
    }
    const auto begin = Clock::now();
    while (static_cast<int>(processes.size()) < ranks && seconds_since(begin) < 60) {
      std::this_thread::sleep_for(milliseconds(20));
      processes = children_of(launcher);
      if (waitpid(launcher, nullptr, WNOHANG) == launcher) return 0;
    }
    return launcher;
  }

  // Waits at most `most_seconds` for the launcher. Returns its exit code, 128 + the signal that ended it, or -1 if it
  // still runs.
  static int wait_for(pid_t launcher, double most_seconds) {
    const auto begin = Clock::now();
    for (int status = 0; seconds_since(begin) < most_seconds; std::this_thread::sleep_for(milliseconds(20))) {
      if (waitpid(launcher, &status, WNOHANG) == launcher)
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return -1;
  }

  void killed_at_random_moments(int times, const std::string& setting) {
    const std::string more =
        "--set run.steps=150 --set run.checkpoint_every=3 --set run.keep=2 --set run.log_every=50" + shard(setting);
    const auto whole_start = Clock::now();
    Outcome whole = shell(command(4, "whole", more));
    const double whole_seconds = seconds_since(whole_start);
    ASSERT_EQ(whole.code, 0) << whole.err;
    Random random(7, 0);
    const fs::path checkpoints = run("run") / "checkpoints";
    auto newest = [&] {
      const std::vector<fs::path> all = list_checkpoints(checkpoints);
      return all.empty() ? 0 : std::stoi(all[0].filename().string().substr(5));
    };
    int reached = 0, most = 0;
    for (int kills = 0, attempt = 0; kills < times; ++attempt) {
      ASSERT_LT(attempt, 3 * times);
      SCOPED_TRACE(attempt);
      std::vector<pid_t> processes;
      const pid_t launcher = start(command(4, "run", more), 4, processes);
      ASSERT_EQ(processes.size(), 4) << read_file(dir_ / "log");
      // Every second attempt first waits for a new checkpoint.
      double window = whole_seconds / 1500;
      if (attempt % 2) {
        window /= 4;
        while (newest() <= reached && parent_of(launcher)) std::this_thread::sleep_for(milliseconds(5));
      }
      std::this_thread::sleep_for(std::chrono::duration<double>(window * random.below(1000)));
      kill(processes[random.below(4)], SIGKILL);
      const auto begin = Clock::now();
      if (wait_for(launcher, 60) == 0) {  // the run ended before the kill: start again
        EXPECT_EQ(bytes_of(run("run"), 150), bytes_of(run("whole"), 150));
        fs::remove_all(run("run"));
        reached = 0;
        continue;
      }
      ++kills;
      EXPECT_LT(seconds_until_all_ended(processes, begin), 10) << read_file(dir_ / "log");
      // Every checkpoint in the folder is complete, and the newest is at least as new as before.
      for (const fs::path& checkpoint : list_checkpoints(checkpoints))
        EXPECT_NO_THROW(verify_checkpoint(checkpoint)) << checkpoint;
      EXPECT_GE(newest(), reached);
      reached = newest();
      most = std::max(most, reached);
    }
    EXPECT_GT(most, 0) << "no attempt came as far as its first checkpoint";
    Outcome last = shell(command(4, "run", more));
    ASSERT_EQ(last.code, 0) << last.err;
    EXPECT_EQ(bytes_of(run("run"), 150), bytes_of(run("whole"), 150));
  }

  void one_hangs(int rank) {
    const std::string more = "--set run.steps=100000 --set run.checkpoint_every=0";
    std::vector<pid_t> processes;
    const pid_t launcher = start(command(3, "run", more, "ROWAN_TIMEOUT=3"), 3, processes);
    ASSERT_EQ(processes.size(), 3);
    const fs::path metrics = run("run") / "metrics.jsonl";
    const auto begin = Clock::now();
    while ((!fs::exists(metrics) || fs::file_size(metrics) == 0) && seconds_since(begin) < 60)
      std::this_thread::sleep_for(milliseconds(20));
    kill(processes[rank], SIGSTOP);  // mpirun starts the processes in the order of their ranks
    const auto stopped = Clock::now();
    EXPECT_EQ(wait_for(launcher, 60), 2);
    EXPECT_GT(seconds_since(stopped), 2.9);
    EXPECT_LT(seconds_until_all_ended(processes, stopped), 15)
        << "the time of ROWAN_TIMEOUT, of the silence check, and of mpirun to end the other ranks";
    const std::string log = read_file(dir_ / "log"), silent = fmt::format(": rank {} has been silent for 3 s", rank);
    EXPECT_NE(log.find(fmt::format("rowan: rank {}{}", rank == 0 ? 1 : 0, silent)), std::string::npos) << log;
    EXPECT_EQ(log.find("leaving"), log.rfind("leaving")) << log;
  }
};
using LongRanks = Ranks;

TEST_F(Ranks, SavedOnFourGoesOnUnderAnyNumber) { saved_on_four_goes_on({"optimizer"}); }
TEST_F(LongRanks, SavedOnFourGoesOnUnderAnyNumberAndSetting) {
  saved_on_four_goes_on({"none", "optimizer", "gradients", "weights"});
}

TEST_F(Ranks, OneIsKilledAndTheSameCommandGoesOnExactly) { killed_at_random_moments(3, "optimizer"); }
TEST_F(LongRanks, OneIsKilledTwentyTimesAndTheSameCommandGoesOnExactly) { killed_at_random_moments(20, "weights"); }

TEST_F(Ranks, OneHangsAndTheOthersNameItAndLeave) { one_hangs(1); }
TEST_F(LongRanks, TheFirstHangsAndTheOthersNameItAndLeave) { one_hangs(0); }

// Exported GPT-2 files store transposed matrices, and query, key and value as one matrix.
TEST_F(Ranks, StartFromPublishedWeights) {
  write_small_run(run("source"), small_gpt2());
  ASSERT_EQ(rowan("export " + run("source").string() + " " + run("hf").string()).code, 0);
  write_file_atomically(dir_ / "model.json", small_gpt2().dump());
  const std::string init = "--set model=model.json --set run.steps=0 --set init=" + run("hf").string();
  Outcome started = shell(command(3, "run", init + shard("weights")));
  ASSERT_EQ(started.code, 0) << started.err;
  ASSERT_EQ(rowan("export " + run("run").string() + " " + run("again").string()).code, 0);
  EXPECT_EQ(read_file(run("again") / "model.safetensors"), read_file(run("hf") / "model.safetensors"));
}

TEST_F(Ranks, BatchMeansDoNotDependOnTheirNumber) {
  write_small_shard(dir_ / "validation.bin", 1301);
  const std::string more =
      " --set run.steps=4 --set batch.micro_batch=3 --set data.reading=documents --set data.end_id=5 "
      "--set data.validation=" +
      (dir_ / "validation.bin").string() + R"( --set 'data.batch_means={"ranks": 2, "rows": 2}')";
  Json want;
  for (int ranks : {1, 2, 4}) {
    const std::string name = fmt::format("ranks{}", ranks);
    Outcome result = shell(command(ranks, name, more));
    ASSERT_EQ(result.code, 0) << result.err;
    std::istringstream lines(read_file(run(name) / "metrics.jsonl"));
    Json last;
    for (std::string line; std::getline(lines, line);)
      if (line.find("val_loss") != std::string::npos) last = Json::parse(line);
    if (ranks == 1) want = last;
    for (const char* key : {"val_loss", "val_loss_batch_mean", "val_loss_galore"})
      EXPECT_NEAR(last.at(key).get<double>(), want.at(key).get<double>(), 1e-6) << key << " on " << ranks;
    const Outcome eval = rowan("eval " + run(name).string() + " --device cpu");
    ASSERT_EQ(eval.code, 0) << eval.err;
    const size_t at = eval.out.find("as GaLore    ");
    ASSERT_NE(at, std::string::npos) << eval.out;
    EXPECT_NEAR(std::stod(eval.out.substr(at + 13)), last.at("val_loss_galore").get<double>(), 1e-6) << ranks;
  }
}

// scripts/resume.sh restarts after a rank dies, and stops at a mistake.
TEST_F(Ranks, ALoopGoesOnByItself) {
  const std::string more = "--set run.steps=60 --set run.checkpoint_every=5";
  std::vector<pid_t> processes;
  const pid_t script = start(quoted(source_path("scripts/resume.sh")) + command(2, "run", more), 1, processes);
  ASSERT_EQ(processes.size(), 1) << read_file(dir_ / "log");
  const fs::path checkpoints = run("run") / "checkpoints";
  while (list_checkpoints(checkpoints).empty() && parent_of(script)) std::this_thread::sleep_for(milliseconds(5));
  const std::vector<pid_t> ranks = children_of(processes[0]);
  ASSERT_EQ(ranks.size(), 2) << read_file(dir_ / "log");
  kill(ranks[1], SIGKILL);
  EXPECT_EQ(wait_for(script, 100), 0);
  const std::string log = read_file(dir_ / "log");
  EXPECT_NE(log.find("going on from the newest checkpoint"), std::string::npos) << log;
  EXPECT_NE(log.find("resumed from"), std::string::npos) << log;
  EXPECT_TRUE(fs::exists(checkpoints / "step_00000060"));
  expect_one_line(quoted(source_path("scripts/resume.sh")) + command(2, "run", "--set run.steeps=1"), "steeps");
}

// A stop signal to the loop, to mpirun or to one rank makes all ranks save. The signal to mpirun is neither SIGTERM nor
// SIGINT, because mpirun kills its ranks one second after these.
TEST_F(Ranks, AStopReachesEveryRank) {
  const std::string more = "--set run.steps=100000000 --set run.checkpoint_every=0 --set run.log_every=1";
  int64_t before = 0;
  const std::pair<const char*, int> requests[] = {
      {"loop", SIGTERM}, {"loop", SIGINT}, {"launcher", SIGUSR1}, {"rank", SIGTERM}};
  for (const auto& [asked, signal] : requests) {
    SCOPED_TRACE(fmt::format("{} {}", asked, signal));
    std::vector<pid_t> processes;
    const pid_t loop = start(quoted(source_path("scripts/resume.sh")) + command(2, "run", more), 1, processes);
    ASSERT_EQ(processes.size(), 1) << read_file(dir_ / "log");
    const std::string done = fmt::format("step {}/", before + 1);
    while (read_file(dir_ / "log").find(done) == std::string::npos && parent_of(loop))
      std::this_thread::sleep_for(milliseconds(20));
    const std::vector<pid_t> ranks = children_of(processes[0]);
    ASSERT_EQ(ranks.size(), 2) << read_file(dir_ / "log");
    const std::map<std::string, pid_t> of = {{"loop", loop}, {"launcher", processes[0]}, {"rank", ranks[1]}};
    kill(of.at(asked), signal);
    EXPECT_EQ(wait_for(loop, 100), 128 + signal) << read_file(dir_ / "log");
    const std::vector<fs::path> saved = list_checkpoints(run("run") / "checkpoints");
    ASSERT_FALSE(saved.empty()) << read_file(dir_ / "log");
    EXPECT_NO_THROW(verify_checkpoint(saved[0]));
    EXPECT_GT(step_of(saved[0]), before);
    before = step_of(saved[0]);
    EXPECT_FALSE(fs::exists(run("run") / "lock"));
  }
}

// Rank 0 alone writes the sample at the end of a run. A stop of all ranks ends the sample, not the other ranks.
TEST_F(Ranks, AStopAtTheEndLeavesARunThatIsDone) {
  std::vector<pid_t> processes;
  const pid_t launcher = start(
      command(2, "run", "--set run.steps=2 --set run.sample_prompt=a --set run.sample_tokens=100000"), 2, processes);
  ASSERT_EQ(processes.size(), 2) << read_file(dir_ / "log");
  while (read_file(dir_ / "log").find("done: 2 steps") == std::string::npos && parent_of(launcher))
    std::this_thread::sleep_for(milliseconds(20));
  std::this_thread::sleep_for(milliseconds(200));  // so that rank 1 has probably left the training loop
  kill(launcher, SIGUSR1);
  EXPECT_EQ(wait_for(launcher, 100), 0) << read_file(dir_ / "log");
}

TEST_F(Ranks, MistakesAreOneLine) {
  expect_one_line(command(5, "run"), "found 5 ranks, expected a divisor of 12");
  expect_one_line(command(3, "run", "--set batch.micro_batch=3"), "found 4 of 12 sequences for each of 3 ranks");
  expect_one_line(command(4, "run", "--set optimizer.lrr=1"), "unknown key 'lrr'");
  expect_one_line(command(2, "run", "--set data.train=/nowhere.bin"), "/nowhere.bin");
  const std::string small =
      "--set model.num_hidden_layers=1 --set model.hidden_size=4 --set model.intermediate_size=4 "
      "--set model.vocab_size=251 --set model.num_attention_heads=2 ";
  expect_one_line(command(12, "run", small + shard("optimizer")), "found 12 ranks, expected at most");
  expect_one_line(command(2, "run", "", "ROWAN_TIMEOUT=soon"), "ROWAN_TIMEOUT: found 'soon'");
  expect_one_line(command(2, "run", "", "ROWAN_COMMUNICATOR=gloo"), "ROWAN_COMMUNICATOR: found 'gloo'");
  expect_one_line(command(2, "run", "", "ROWAN_COMMUNICATOR=nccl"), "NCCL");
  EXPECT_FALSE(fs::exists(run("run"))) << "a refused run leaves nothing behind";
}

TEST_F(Ranks, ThatDifferAreNamed) {
  const std::string train = rowan_command() + " train " + file().string() + " ";
  expect_one_line(one_each({train, train, train + "--set optimizer.lr=0.02"}),
                  "rank 2 differs from rank 0 and others: config /optimizer/lr is 0.02, not 0.01");

  const fs::path copy = dir_ / "rowan";
  fs::copy_file(rowan_binary(), copy);
  std::ofstream(copy, std::ios::app) << "another build";
  expect_one_line(one_each({train, train, copy.string() + " train " + file().string()}),
                  "rank 2 differs from rank 0 and others: the program");

  // Neither waits for the other until ROWAN_TIMEOUT, and the rank at fault speaks.
  expect_one_line(one_each({train, "ROWAN_COMMUNICATOR=gloo " + train}),
                  "rank 1 differs from rank 0: /ROWAN_COMMUNICATOR is \"gloo\", not \"auto\"");
  expect_one_line(one_each({train, "ROWAN_TIMEOUT=soon " + train}), "rank 1: ROWAN_TIMEOUT: found 'soon'");

  // At first the corpora in the two folders differ. Later the checkpoints in the two folders differ.
  fs::create_directories(dir_ / "one");
  fs::create_directories(dir_ / "other");
  fs::copy_file(dir_ / "train.bin", dir_ / "one/train.bin");
  write_small_shard(dir_ / "other/train.bin", 3301);
  const std::string local = train + "--set data.train=train.bin ";
  auto apart = [&](const std::string& more) {
    auto in = [&](const char* folder) { return "cd " + (dir_ / folder).string() + " && " + local + more; };
    return one_each({in("one"), in("other")});
  };
  expect_one_line(apart(""), "rank 1 differs from rank 0: data ");
  fs::copy_file(dir_ / "train.bin", dir_ / "other/train.bin", fs::copy_options::overwrite_existing);
  write_small_shard(dir_ / "one/val.bin", 801);
  write_small_shard(dir_ / "other/val.bin", 1601);
  expect_one_line(apart("--set data.validation=val.bin"), "rank 1 differs from rank 0: data /validation/0/");
  for (const char* label : {"0", "1"})
    write_file_atomically(dir_ / (*label == '0' ? "one" : "other") / "hellaswag.jsonl",
                          fmt::format(R"({{"ctx": "a", "endings": ["b", "c", "d", "e"], "label": {}}})", label));
  expect_one_line(apart("--set data.hellaswag=hellaswag.jsonl"), "rank 1 differs from rank 0: data /hellaswag is ");
  write_small_run(dir_ / "one/weights", small_llama(), 1);
  write_small_run(dir_ / "other/weights", small_llama(), 2);
  expect_one_line(apart("--set init=weights" + shard("optimizer")),
                  "rank 1 differs from rank 0: init: weights/checkpoints/step_00000001/model.safetensors: shape and "
                  "checksum of /");

  // The folder of the run is another one on each rank. It is looked for until half of ROWAN_TIMEOUT has passed.
  EXPECT_FALSE(fs::exists(dir_ / "one/run")) << "a run of ranks that differ leaves nothing behind";
  expect_one_line("ROWAN_TIMEOUT=20 " + apart(""), "rank 1: run.dir: run/starts.jsonl: on ");
  EXPECT_FALSE(fs::exists(dir_ / "other/run"));
  fs::remove_all(dir_ / "one/run");
  for (const char* folder : {"one", "other"}) {
    const std::string lr = folder == std::string("one") ? "0.01" : "0.02";
    Outcome done = shell("cd " + (dir_ / folder).string() + " && " + local + "--set optimizer.lr=" + lr);
    ASSERT_EQ(done.code, 0) << done.err;
  }
  expect_one_line(apart("--resume --set run.steps=40"), "rank 1 differs from rank 0: checksum of the weights ");
  Outcome checked = shell(command(2, "run", "--set run.check_weights_every=5"));
  EXPECT_EQ(checked.code, 0) << checked.err;
}

#if defined(__x86_64__)
TEST_F(Ranks, WithOtherInstructionsAreNamed) {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2"))
    GTEST_SKIP() << "this CPU has one level";
  const std::string train =
      rowan_command() + " train " + file().string() + " --set run.steps=1 --set run.dir=" + run("run").string();
  const std::string says = "warning: rank 0 has CPU level v3, rank 1 has CPU level v2: their sums differ";
  Outcome result = shell(one_each({"ROWAN_ISA=v3 " + train, "ROWAN_ISA=v2 " + train}));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.err.find(says), std::string::npos) << result.err;
  result = shell(command(2, "alike", "--set run.steps=1"));
  EXPECT_EQ(result.err.find("their sums differ"), std::string::npos) << result.err;
}
#endif

}  // namespace
}  // namespace rowan

#endif
