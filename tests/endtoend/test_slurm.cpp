// Tests runs that Slurm starts, with and without MPI. The folder slurm/ has replacements for Slurm's commands. The
// replacements run on one machine.
#include <signal.h>

#include <chrono>
#include <thread>

#include "base/error.h"
#include "base/json.h"
#include "command.h"
#include "free_port.h"
#include "paths.h"
#include "small_run.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class Slurm : public CommandTest {
 protected:
  void SetUp() override {
    CommandTest::SetUp();
    write_small_shard(dir_ / "train.bin", 3001);
    const Json config = {{"model", small_llama()},
                         {"tokenizer", "bytes"},
                         {"data", {{"train", (dir_ / "train.bin").string()}}},
                         {"batch", {{"sequences", 12}, {"sequence_length", 16}}},
                         {"optimizer", {{"name", "muon"}, {"lr", 0.01}}},
                         {"device", "cpu"},
                         {"threads", 1},
                         {"precision", "fp32"},
                         {"run", {{"dir", (dir_ / "run").string()}, {"steps", 5}}}};
    write_file_atomically(dir_ / "config.json", config.dump(2));
  }

  std::string environment(const std::string& more, const std::string& before = "") const {
    // The batch script meets at port 20000 + SLURM_JOB_ID % 12000.
    const int job = std::stoi(port_) - 20000;
    return "cd " + quoted(source_path()) + " && " + before + "PATH=" + quoted(source_path("tests/endtoend/slurm")) +
           ":\"$PATH\" SLURM_JOB_NODELIST=localhost SLURM_JOB_ID=" + std::to_string(job) + " " + more + " ";
  }
  // The command of a Slurm step of three tasks without MPI.
  std::string step(const std::string& address, const std::string& more, const std::string& options = "",
                   const std::string& arguments = "") const {
    return environment("ROWAN_SECRET=of-the-test ROWAN_RENDEZVOUS=" + address + " " + more) +
           "srun --mpi=none --ntasks-per-node=3 " + options + " bash -c 'exec " + rowan_command() + " train " +
           (dir_ / "config.json").string() + arguments + "'";
  }
  std::string batch(const std::string& more, const std::string& before = "") const {
    return environment("SLURM_GPUS_ON_NODE=2 ROWAN=" + rowan_command() + " " + more, before) +
           "bash scripts/slurm.sbatch " + (dir_ / "config.json").string();
  }
  std::string tcp() const { return "tcp:localhost:" + port_; }

  // Expects that each of these tasks has ended with exit code 2.
  void expect_all_left(std::vector<int> tasks) {
    const std::string err = read_file(dir_ / "err");
    for (int task : tasks)
      EXPECT_NE(err.find(fmt::format("task {}: Exited with exit code 2\n", task)), std::string::npos) << err;
  }

  const std::string port_ = free_port();
};

TEST_F(Slurm, AMissingTaskIsNamedOnce) {
  for (const std::string& address : {tcp(), "file:" + (dir_ / "meet").string()}) {
    expect_one_line(step(address, "ROWAN_TIMEOUT=4 SRUN_MISSING=2"), "has waited 4 s (ROWAN_TIMEOUT) for rank 2 of 3");
    expect_all_left({0, 1});
    for (const auto& entry : fs::directory_iterator(dir_))
      EXPECT_FALSE(entry.path().filename().string().starts_with("meet")) << entry.path();
  }
}

// Each waiting rank reports that rank 0 is missing. Here only one line is expected: either Slurm ends the step when
// the first rank exits, or only rank 2 has started.
TEST_F(Slurm, AMissingRank0IsNamedByAnother) {
  expect_one_line(step(tcp(), "ROWAN_TIMEOUT=1 SRUN_MISSING=0", "--kill-on-bad-exit=1"), "rank 1: tcp:localhost:");
  expect_one_line(step(tcp(), "ROWAN_TIMEOUT=1 SRUN_MISSING='0 1'"), "rank 2: tcp:localhost:");
  expect_all_left({2});
}

TEST_F(Slurm, MistakesWithoutMpiAreOneLine) {
  const char* common = "NCCL needs GPUs, but the device is cpu";
  expect_one_line(step(tcp(), ""), common);
  expect_all_left({0, 1, 2});
  expect_one_line(step("file:" + (dir_ / "meet").string(), ""), common);
  expect_one_line(step(tcp(), "", "", " --set optimizer.lrr=1"), "unknown key 'lrr'");
  expect_one_line(step("udp:localhost", ""), "ROWAN_RENDEZVOUS: found 'udp:localhost'");
  expect_one_line(step("file:/nowhere/meet", "ROWAN_TIMEOUT=1", "--kill-on-bad-exit=1"), "/nowhere/meet");
  // A mistake that only rank 1 makes.
  fs::copy_file(dir_ / "config.json", dir_ / "config.json0");
  fs::copy_file(dir_ / "config.json", dir_ / "config.json2");
  expect_one_line(step(tcp(), "", "", "$SLURM_PROCID"), "rank 1: cannot open ");
}

#ifdef ROWAN_MPI
TEST_F(Slurm, ABatchScriptTrainsOverMpi) {
  Outcome result = shell(batch("SRUN_PMIX='" + mpirun() + "'"));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.err.find("; MPI\n"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("ranks        2, "), std::string::npos) << result.err;
  EXPECT_TRUE(fs::exists(dir_ / "run/checkpoints/step_00000005"));
}

// `scancel --batch` sends a signal to the script alone, as this test does with SIGTERM.
TEST_F(Slurm, AStoppedBatchScriptSavesAndIsNotDone) {
  const std::string more = " --set run.steps=100000000 --set run.log_every=1000";
  write_file_atomically(dir_ / "log", "");
  const pid_t script = fork();
  if (script == 0) {
    const std::string log = " >" + (dir_ / "log").string() + " 2>&1";
    execl("/bin/bash", "bash", "-c", (batch("SRUN_PMIX='" + mpirun() + "'", "exec env ") + more + log).c_str(),
          nullptr);
    _exit(127);
  }
  while (read_file(dir_ / "log").find("step 1/") == std::string::npos) {
    ASSERT_EQ(waitpid(script, nullptr, WNOHANG), 0) << read_file(dir_ / "log");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  kill(script, SIGTERM);
  EXPECT_EQ(code_of(script), 143) << read_file(dir_ / "log");
  EXPECT_EQ(list_checkpoints(dir_ / "run/checkpoints").size(), 1u);
}
#endif

TEST_F(Slurm, AProgramWithoutMpiMeetsAtTheFirstMachineThoughSlurmHasPmix) {
  write_file_atomically(dir_ / "without", "#!/bin/sh\necho \"$ROWAN_RENDEZVOUS\"\n");
  fs::permissions(dir_ / "without", fs::perms::owner_all);
  const Outcome result = shell(environment("SRUN_PMIX=false ROWAN=" + (dir_ / "without").string()) +
                               "bash scripts/slurm.sbatch " + (dir_ / "config.json").string());
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, tcp() + "\n");
}

TEST_F(Slurm, ABatchScriptMeetsAtTheFirstMachine) {
  expect_one_line(batch(""), "NCCL needs GPUs, but the device is cpu");
}

}  // namespace
}  // namespace rowan
