#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <map>

#include "comm/agreement.h"
#include "comm/ranks_text.h"
#include "comm/transports.h"
#include "free_port.h"
#include "temporary_folder.h"

namespace rowan {
namespace {

// Clears the environment variables of launchers for a test, and restores them afterwards.
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
  EXPECT_EQ(detect_launch().local_rank, 1);  // from SLURM_LOCALID, because MPI_LOCALRANKID is not set

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

TEST(Ranks, AreNamedShortly) {
  EXPECT_EQ(ranks_text({3}), "rank 3");
  EXPECT_EQ(ranks_text({0, 1}), "ranks 0, 1");
  EXPECT_EQ(ranks_text({1, 4, 5, 6, 7, 9, 10}), "ranks 1, 4-7, 9, 10");
}

TEST_F(Launched, RefusesNonsense) {
  set("PMI_RANK", "8"), set("PMI_SIZE", "8");
  EXPECT_THROW(detect_launch(), Error);
  set("PMI_RANK", "two");
  EXPECT_THROW(detect_launch(), Error);
}

class MeetingRanks : public testing::Test {
 protected:
  MeetingRanks() { setenv("ROWAN_SECRET", "of the test", 1); }
  ~MeetingRanks() override { unsetenv("ROWAN_SECRET"); }
};

// Connects `ranks` ranks through `address`. Every rank sends a short and a long message to all. Returns, for each rank,
// the short messages that it received, then the lengths of the long ones.
std::vector<std::vector<std::string>> met_at(const std::string& address, int ranks) {
  std::vector<std::future<std::vector<std::string>>> results;
  for (int rank = ranks - 1; rank >= 0; --rank) {
    results.push_back(std::async(std::launch::async, [=] {
      auto communicator = make_tcp_communicator({Launch::Kind::slurm, rank, ranks, rank}, address);
      std::vector<std::string> all = communicator->gather(std::to_string(rank));
      for (const std::string& long_one : communicator->gather(std::string(rank * 1000000, 'x')))
        all.push_back(std::to_string(long_one.size()));
      return all;
    }));
  }
  std::vector<std::vector<std::string>> gathered;
  for (auto& result : results) gathered.push_back(result.get());
  return gathered;
}

TEST_F(MeetingRanks, EveryRankHearsEveryOther) {
  TemporaryFolder folder;
  std::vector<std::vector<std::string>> want(4, {"0", "1", "2", "3", "0", "1000000", "2000000", "3000000"});
  EXPECT_EQ(met_at("file:" + folder / "id", 4), want);
  EXPECT_TRUE(std::filesystem::is_empty(folder / ""));  // a leftover file could mislead a later run
  EXPECT_EQ(met_at("tcp:127.0.0.1:" + free_port(), 4), want);
  EXPECT_EQ(met_at("tcp:localhost:" + free_port(), 4), want);
  // The rendezvous file of a run that was killed before its ranks had connected.
  folder.write("id.0.0", "123 " + free_port() + "\n127.0.0.1\n");
  EXPECT_EQ(met_at("file:" + folder / "id", 4), want);
}

// Rank 0 names the missing ranks. If rank 0 itself is missing, a waiting rank says so.
TEST_F(MeetingRanks, MissingRanksAreNamedByRank0) {
  const std::string address = "tcp:127.0.0.1:" + free_port();
  auto rank = [&](int r) { make_tcp_communicator({Launch::Kind::slurm, r, 4, r}, address)->gather(""); };
  auto two_of_four = [&] {
    setenv("ROWAN_TIMEOUT", "2", 1);
    rank(fork() == 0 ? 2 : 0);
  };
  EXPECT_EXIT(two_of_four(), testing::ExitedWithCode(2),
              "^rowan: tcp:127.0.0.1:[0-9]*: rank 0, on .*, has waited 2 s .* for ranks 1, 3 of 4\n$");
  auto alone = [&] {
    setenv("ROWAN_TIMEOUT", "0.2", 1);
    rank(1);
  };
  EXPECT_EXIT(alone(), testing::ExitedWithCode(2),
              "^rowan: rank 1: tcp:.*: no connection to rank 0 for 0.2 s .*refused\n$");
}

TEST_F(MeetingRanks, ARankThatLeavesIsNamed) {
  const std::string address = "tcp:127.0.0.1:" + free_port();
  auto rank = [&](int r) { return make_tcp_communicator({Launch::Kind::slurm, r, 2, r}, address); };
  auto left = [&](int who, bool silent) {
    setenv("ROWAN_TIMEOUT", silent ? "2" : "60", 1);
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      auto communicator = rank(who);
      communicator->barrier();
      if (silent) raise(SIGSTOP);
      std::_Exit(0);
    }
    auto communicator = rank(1 - who);
    communicator->barrier();
    communicator->barrier();
  };
  EXPECT_EXIT(left(1, false), testing::ExitedWithCode(2), "^rowan: rank 1 is gone; leaving\n$");
  EXPECT_EXIT(left(0, false), testing::ExitedWithCode(2), "^rowan: rank 1: rank 0 is gone; leaving\n$");
  EXPECT_EXIT(left(1, true), testing::ExitedWithCode(2), "^rowan: rank 1 has been silent for 2 s .*leaving\n$");
}

TEST_F(MeetingRanks, RefusesAddressesThatAreNone) {
  for (const char* address : {"udp:host", "file:", "tcp:host", "tcp:host:", "tcp:host:0", "tcp:host:http", "tcp::9000"})
    EXPECT_THROW(make_tcp_communicator({Launch::Kind::slurm, 0, 2, 0}, address), AgreedError) << address;
  Port port;
  ASSERT_TRUE(port.bound());
  port.listen();
  auto taken = [&] { make_tcp_communicator({Launch::Kind::slurm, 0, 2, 0}, "tcp:localhost:" + port.number()); };
  EXPECT_EXIT(taken(), testing::ExitedWithCode(2),
              "^rowan: tcp:localhost:[0-9]*: rank 0 cannot listen there: Addr.*\n$");
}

}  // namespace
}  // namespace rowan
