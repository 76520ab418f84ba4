// A folder that is being written has one owner: the process that holds FOLDER/lock.
//
// The process locks that file with flock(), and the kernel releases the lock when the process ends. Between machines
// that share a folder, flock() may have no effect. Therefore the file also names the owner, and the modification time
// of the file is the owner's heartbeat. An owner on another machine counts as dead after LockPace::stale without a
// heartbeat.
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
  std::chrono::milliseconds stale{60'000};     // time without heartbeat after which a remote owner counts as dead
  std::chrono::milliseconds patience{10'000};  // time to wait for another process to release its flock()
};

class FolderLock {
 public:
  // Locks an existing folder. Throws Error naming process and machine if another process holds the lock. `work`
  // describes in the message what the other process does, for example "trains this run". Before waiting for another
  // process, the constructor calls `note` with a line about that process.
  FolderLock(const std::filesystem::path& folder, std::string work, const std::function<void(const std::string&)>& note,
             LockPace pace = {});
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  // Throws Error if this process no longer holds the lock, for example because the folder was removed, or because
  // another machine took the lock while this process sent no heartbeat.
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

// Removes the lock of a folder if the process that held it is dead or counts as dead.
void remove_dead_lock(const std::filesystem::path& folder);

}  // namespace rowan
