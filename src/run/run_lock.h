// A run has one owner: the process that holds RUN/lock.
//
// The lock is flock() on that file, which the system gives back however a process ends. Between machines that share a
// folder it may mean nothing, so the file also says who holds it, and its time of change is a heartbeat: an owner on
// another machine is dead when none has come for a while, so that no dead process, host or node holds a run for ever.
#pragma once

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace rowan {

struct LockPace {
  std::chrono::milliseconds heartbeat{10'000};
  std::chrono::milliseconds stale{60'000};     // without a heartbeat, an owner elsewhere is dead
  std::chrono::milliseconds patience{10'000};  // for an owner here that may be about to end
};

class RunLock {
 public:
  // Takes the lock of a folder that exists. Throws Error naming process and machine when another process holds it. Says
  // through `note` what it waits for, where it has to.
  explicit RunLock(const std::filesystem::path& run_dir, const std::function<void(const std::string&)>& note,
                   LockPace pace = {});
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

  // Throws Error when the lock is no longer this process's: the folder is gone, or another machine took it while this
  // one was silent.
  void check() const;

 private:
  bool is_ours() const;
  void beat(std::chrono::milliseconds interval);

  std::filesystem::path path_;
  std::string mine_;
  int fd_ = -1;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ends_ = false;
  std::thread heart_;
};

}  // namespace rowan
