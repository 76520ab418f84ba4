#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/error.h"
#include "base/files.h"
#include "base/folder_lock.h"
#include "base/json.h"
#include "error_of.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

class FolderLockTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::path(testing::TempDir()) / ("rowan_lock_" + std::to_string(::getpid()));
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }

  std::unique_ptr<FolderLock> take(LockPace pace = {milliseconds(10'000), milliseconds(60'000), milliseconds(0)}) {
    return std::make_unique<FolderLock>(
        dir_, "trains this run", [this](const std::string& text) { notes_ += text + "\n"; }, pace);
  }
  std::string refusal() {
    try {
      take();
    } catch (const Error& error) {
      return error.what();
    }
    return "taken";
  }
  Json content() { return Json::parse(read_file(dir_ / "lock")); }
  // Writes a lock file as another machine would, whose last heartbeat was `seconds_old` seconds ago.
  void forge(int64_t seconds_old) {
    write_file_atomically(dir_ / "lock", Json{{"host", "elsewhere"},
                                              {"process", ::getpid()},
                                              {"start", "7"},
                                              {"boot", "another"},
                                              {"since", "2026-01-02 03:04:05"}}
                                             .dump());
    const timespec then{::time(nullptr) - seconds_old, 0};
    const timespec times[] = {then, then};
    ASSERT_EQ(::utimensat(AT_FDCWD, (dir_ / "lock").c_str(), times, 0), 0);
  }

  fs::path dir_;
  std::string notes_;
};

TEST_F(FolderLockTest, OneHoldsItAndTheOtherIsToldWho) {
  {
    auto lock = take();
    EXPECT_EQ(content()["process"], ::getpid());
    EXPECT_NO_THROW(lock->check());
    const std::string said = refusal();
    EXPECT_NE(said.find(fmt::format("process {} on {}", ::getpid(), content()["host"].get<std::string>())),
              std::string::npos)
        << said;
    EXPECT_NO_THROW(lock->check()) << "a refused process changes nothing";
  }
  EXPECT_FALSE(fs::exists(dir_ / "lock"));
  EXPECT_EQ(refusal(), "taken");
}

// As with two exports into one folder: the first renames FOLDER.part to FOLDER.
TEST_F(FolderLockTest, AFolderThatItsOwnerRenamesIsSaidToBeGone) {
  const auto lock = take();
  const fs::path renamed = dir_.string() + "_renamed";
  const std::string error =
      error_of([&] { FolderLock(dir_, "exports", [&](const std::string&) { fs::rename(dir_, renamed); }); });
  EXPECT_EQ(error, dir_.string() + ": the process that held it has ended, and has renamed or removed the folder");
  fs::remove_all(renamed);
}

TEST_F(FolderLockTest, ADeadProcessHoldsNothing) {
  const pid_t child = ::fork();
  if (child == 0) {
    take().release();
    ::raise(SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(content()["process"], child);
  auto lock = take();
  EXPECT_EQ(content()["process"], ::getpid());
  EXPECT_EQ(notes_, "");
}

TEST_F(FolderLockTest, OnlyADeadOwnersLockIsRemoved) {
  {
    auto lock = take();
    remove_dead_lock(dir_);
    EXPECT_NO_THROW(lock->check());
  }
  remove_dead_lock(dir_);  // there is no lock
  const pid_t child = ::fork();
  if (child == 0) {
    take().release();
    ::raise(SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  ASSERT_TRUE(fs::exists(dir_ / "lock"));
  remove_dead_lock(dir_);
  EXPECT_FALSE(fs::exists(dir_ / "lock"));
  write_file_atomically(dir_ / "lock", "");  // from a process that was killed before it wrote its name
  remove_dead_lock(dir_);
  EXPECT_FALSE(fs::exists(dir_ / "lock"));
  forge(5);
  remove_dead_lock(dir_);
  EXPECT_TRUE(fs::exists(dir_ / "lock")) << "the owner on another machine sent a heartbeat 5 seconds ago";
  forge(61);
  remove_dead_lock(dir_);
  EXPECT_FALSE(fs::exists(dir_ / "lock"));
}

TEST_F(FolderLockTest, AnOwnerOnAnotherMachineIsDeadWhenItHasBeenSilent) {
  forge(61);
  EXPECT_EQ(refusal(), "taken");
  EXPECT_EQ(notes_, "");
  // The last heartbeat was a moment ago, and no further one follows.
  forge(0);
  EXPECT_NO_THROW(take({milliseconds(50), milliseconds(1500), milliseconds(0)}));
  EXPECT_NE(notes_.find("on elsewhere since 2026-01-02 03:04:05"), std::string::npos) << notes_;
}

TEST_F(FolderLockTest, AHeartbeatFromTheFutureIsAsGoodAsOneFromNow) {
  forge(-86'400);
  EXPECT_NO_THROW(take({milliseconds(50), milliseconds(300), milliseconds(0)}));
  EXPECT_NE(notes_.find("waiting up to 1 s"), std::string::npos) << notes_;
}

TEST_F(FolderLockTest, AnOwnerOnAnotherMachineThatIsHeardIsNamed) {
  forge(5);
  std::atomic<bool> ends = false;
  std::thread heart([&] {
    while (!ends) {
      ::utimensat(AT_FDCWD, (dir_ / "lock").c_str(), nullptr, 0);
      std::this_thread::sleep_for(milliseconds(20));
    }
  });
  const std::string said = refusal();
  ends = true;
  heart.join();
  EXPECT_NE(said.find("on elsewhere"), std::string::npos) << said;
  EXPECT_EQ(content()["host"], "elsewhere");
}

TEST_F(FolderLockTest, ItBeatsAndNoticesThatItWasTaken) {
  auto lock = take({milliseconds(10), milliseconds(60'000), milliseconds(0)});
  const auto before = fs::last_write_time(dir_ / "lock");
  while (fs::last_write_time(dir_ / "lock") == before) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_NO_THROW(lock->check());
  forge(0);
  EXPECT_THROW(lock->check(), Error);
  lock.reset();
  EXPECT_EQ(content()["host"], "elsewhere") << "another process's lock is not removed";
  lock = nullptr;
  fs::remove(dir_ / "lock");
  lock = take();
  fs::remove_all(dir_);
  EXPECT_THROW(lock->check(), Error);
}

TEST_F(FolderLockTest, ATornOrForeignFileHoldsNothingAndALinkIsNotFollowed) {
  for (const char* text : {"", "{\"host\": \"el", "[]", "{}", "{\"host\": 7, \"process\": \"x\"}"}) {
    write_file_atomically(dir_ / "lock", text);
    const timespec old[] = {{1, 0}, {1, 0}};
    ::utimensat(AT_FDCWD, (dir_ / "lock").c_str(), old, 0);
    EXPECT_EQ(refusal(), "taken") << text;
  }
  write_file_atomically(dir_ / "precious", "kept");
  fs::create_symlink(dir_ / "precious", dir_ / "lock");
  EXPECT_NE(refusal().find("cannot open"), std::string::npos);
  EXPECT_EQ(read_file(dir_ / "precious"), "kept");
}

TEST_F(FolderLockTest, AFullDiskLeavesNoLock) {
  rlimit before;
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  for (const rlim_t room : {0, 10}) {  // room for none of the text, and for a part of it
    const rlimit small = {room, before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
    const std::string said = refusal();
    ::setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_NE(said.find("cannot write " + (dir_ / "lock").string()), std::string::npos) << said;
    EXPECT_FALSE(fs::exists(dir_ / "lock"));
  }
  std::signal(SIGXFSZ, handler);
}

}  // namespace
}  // namespace rowan
