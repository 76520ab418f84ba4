#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <map>

#include "base/error.h"
#include "dist/communicator.h"
#include "dist/rendezvous.h"

namespace rowan {
namespace {

// Variables of launchers, restored afterwards.
class Launched : public testing::Test {
 protected:
  Launched() {
    for (const char* name : {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "PMI_RANK",
                             "PMI_SIZE", "MPI_LOCALRANKID", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"}) {
      if (const char* value = std::getenv(name)) before_[name] = value;
      unsetenv(name);
      names_.push_back(name);
    }
  }
  ~Launched() override {
    for (const std::string& name : names_) unsetenv(name.c_str());
    for (const auto& [name, value] : before_) setenv(name.c_str(), value.c_str(), 1);
  }
  void set(const char* name, const char* value) { setenv(name, value, 1); }

 private:
  std::vector<std::string> names_;
  std::map<std::string, std::string> before_;
};

TEST_F(Launched, AloneWithoutALauncher) {
  Launch launch = detect_launch();
  EXPECT_EQ(launch.kind, Launch::Kind::alone);
  EXPECT_EQ(launch.size, 1);
}

TEST_F(Launched, UnderstandsOpenMpiMpichAndSlurm) {
  set("SLURM_PROCID", "3"), set("SLURM_STEP_NUM_TASKS", "4"), set("SLURM_LOCALID", "1");
  Launch slurm = detect_launch();
  EXPECT_EQ(slurm.kind, Launch::Kind::slurm);
  EXPECT_EQ(slurm.rank, 3);
  EXPECT_EQ(slurm.size, 4);
  EXPECT_EQ(slurm.local_rank, 1);

  set("PMI_RANK", "2"), set("PMI_SIZE", "8");
  EXPECT_EQ(detect_launch().rank, 2);
  EXPECT_EQ(detect_launch().local_rank, 1);  // Slurm's, in the absence of the launcher's own

  set("OMPI_COMM_WORLD_RANK", "5"), set("OMPI_COMM_WORLD_SIZE", "6"), set("OMPI_COMM_WORLD_LOCAL_RANK", "0");
  Launch mpi = detect_launch();
  EXPECT_EQ(mpi.kind, Launch::Kind::mpi);
  EXPECT_EQ(mpi.rank, 5);
  EXPECT_EQ(mpi.size, 6);
  EXPECT_EQ(mpi.local_rank, 0);
}

TEST_F(Launched, ABatchScriptIsNoRank) {
  set("SLURM_PROCID", "0"), set("SLURM_NTASKS", "4");
  EXPECT_EQ(detect_launch().size, 1);
  unsetenv("SLURM_NTASKS");
}

TEST_F(Launched, RefusesNonsense) {
  set("PMI_RANK", "8"), set("PMI_SIZE", "8");
  EXPECT_THROW(detect_launch(), Error);
  set("PMI_RANK", "two");
  EXPECT_THROW(detect_launch(), Error);
}

std::vector<std::string> meet(const std::string& address, int ranks, double seconds) {
  std::vector<std::future<std::string>> results;
  for (int rank = ranks - 1; rank >= 0; --rank) {
    results.push_back(std::async(std::launch::async, [=] {
      Launch launch{Launch::Kind::slurm, rank, ranks, rank};
      return share_from_rank_0(launch, address, rank == 0 ? "a message" : "         ", seconds);
    }));
  }
  std::vector<std::string> messages;
  for (auto& result : results) messages.push_back(result.get());
  return messages;
}

TEST(Rendezvous, EveryRankGetsTheMessage) {
  const auto folder = std::filesystem::temp_directory_path() / ("rendezvous" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  std::vector<std::string> want(4, "a message");
  EXPECT_EQ(meet("file:" + (folder / "id").string(), 4, 60), want);
  EXPECT_TRUE(std::filesystem::is_empty(folder));  // nothing is left for a later run to trip over
  std::filesystem::remove_all(folder);
  EXPECT_EQ(meet("tcp:127.0.0.1:" + std::to_string(20000 + getpid() % 20000), 4, 60), want);
}

TEST(Rendezvous, AMissingRankIsAnError) {
  const auto path = std::filesystem::temp_directory_path() / ("missing" + std::to_string(getpid()));
  Launch first{Launch::Kind::slurm, 0, 2, 0}, second{Launch::Kind::slurm, 1, 2, 0};
  EXPECT_THROW(share_from_rank_0(first, "file:" + path.string(), "x", 0.2), Error);
  EXPECT_THROW(share_from_rank_0(second, "file:" + path.string(), " ", 0.2), Error);
  EXPECT_THROW(share_from_rank_0(second, "tcp:127.0.0.1:1", " ", 0.2), Error);
  EXPECT_THROW(share_from_rank_0(first, "udp:host", "x", 0.2), Error);
}

}  // namespace
}  // namespace rowan
