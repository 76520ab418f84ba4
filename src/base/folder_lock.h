// A folder that is being written has one owner: the process that holds FOLDER/lock.
//
// The lock is flock() on that file; the system releases it however the process ends. Between machines that share a
// folder flock() may have no effect. So the file also names its owner, and its modification time is a heartbeat: an
// owner on another machine counts as dead after some time without one. So no dead process, host or node holds a folder
// forever.
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
  std::chrono::milliseconds stale{60'000};     // time without heartbeat after which an owner elsewhere counts as dead
  std::chrono::milliseconds patience{10'000};  // time to wait for an owner on this machine, which may be about to end
};

class FolderLock {
 public:
  // Takes the lock of an existing folder. Throws Error naming process and machine if another process holds it; `work`
  // completes the message: "trains this run". Before waiting for another process it says so through `note`.
  FolderLock(const std::filesystem::path& folder, std::string work, const std::function<void(const std::string&)>& note,
             LockPace pace = {});
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  // Throws Error if this process no longer holds the lock: the folder is gone, or another machine took the lock while
  // this process sent no heartbeat.
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
