// A folder that is being written has one owner: the process that holds FOLDER/lock.
//
// The lock is flock() on that file, which the system releases however a process ends. Between machines that share a
// folder flock() may have no effect, so the file also says who holds it, and its time of change is a heartbeat: an
// owner on another machine counts as dead when no heartbeat has come for a while. So no dead process, host or node
// holds a folder for ever.
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

class FolderLock {
 public:
  // Takes the lock of a folder that exists. Throws Error naming process and machine when another process holds it;
  // `work` says in the message what that process does there: "trains this run". Before it waits for another process, it
  // says so through `note`.
  FolderLock(const std::filesystem::path& folder, std::string work, const std::function<void(const std::string&)>& note,
             LockPace pace = {});
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  // Throws Error when this process no longer holds the lock: the folder is gone, or another machine took it while this
  // one was silent.
  void check() const;

 private:
  bool is_ours() const;
  void beat(std::chrono::milliseconds interval);

  std::filesystem::path path_;
  std::string work_, mine_;
  int fd_ = -1;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ends_ = false;
  std::thread heart_;
};

}  // namespace rowan
