// Runs processes in parallel, each on a slot: on GPUs, on some CPU cores, or on all CPU cores.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace rowan {

// The resources of one run with all its ranks.
struct Slot {
  std::vector<std::string> gpus;  // entries of CUDA_VISIBLE_DEVICES; empty for a run on a CPU
  std::vector<int> cores;         // core numbers; empty: all cores
};

struct SlotWish {
  int64_t jobs = 0;  // runs at once; 0: as many as fit
  int64_t ranks = 1, threads = 1;
  bool gpu = false;
};
// The slots of this machine. For example, eight GPUs make eight slots for runs of one rank, or one slot for runs of
// eight ranks. Cores are assigned only if there are several slots and enough cores for all of them. Throws Error if
// there are too few GPUs for one run or for `jobs` runs.
std::vector<Slot> make_slots(const SlotWish& wish);
// The entries of CUDA_VISIBLE_DEVICES: numbers, or UUIDs that begin with GPU- or MIG-. As in CUDA, the first entry of
// any other form ends the list. If the variable is not set, returns the numbers of all GPUs of the NVIDIA driver.
std::vector<std::string> visible_gpus();

// A file to which processes append their output, created if it is absent.
class ProcessLog {
 public:
  // Opens and locks the file. Throws Error if it cannot be written, or if the file system has no locks.
  explicit ProcessLog(const std::filesystem::path& path);
  ~ProcessLog();
  ProcessLog(const ProcessLog&) = delete;
  ProcessLog& operator=(const ProcessLog&) = delete;

  // Whether the file is locked here; false if another process, for example of an earlier sweep, still locks it.
  bool locked() const { return locked_; }
  int file() const { return file_; }
  // The number of bytes that the file had when it was locked.
  int64_t size() const { return size_; }

 private:
  int file_ = -1;
  bool locked_ = false;
  int64_t size_ = 0;
};

class ProcessPool {
 public:
  // `launched`: the processes are launchers of ranks, such as mpirun. A launcher is asked to end by SIGUSR1, which it
  // forwards to its ranks; after a SIGTERM, mpirun kills the ranks one second later.
  // The process takes the default action for SIGCHLD from now on.
  explicit ProcessPool(std::vector<Slot> slots, bool launched = false);
  // If processes run, asks them to end and waits for them. After ten minutes, kills those that still run, and their
  // process groups.
  ~ProcessPool();
  ProcessPool(const ProcessPool&) = delete;
  ProcessPool& operator=(const ProcessPool&) = delete;

  size_t running() const;
  bool full() const { return running() == slots_.size(); }
  const std::vector<Slot>& slots() const { return slots_; }

  // Starts `command` on a free slot, in a new process group, and appends the command's output to `log`, which must be
  // locked. If the calling process ends, for any reason, the kernel asks the new process to end, by the signal of
  // ask_to_end(). A slot must be free.
  void start(const std::string& name, const std::vector<std::string>& command,
             const std::vector<std::string>& environment, const ProcessLog& log);

  struct Ended {
    std::string name;
    int code = 0;           // exit code; 0 after a signal
    int signal = 0;         // signal that killed the process; 0: none
    int64_t log_begin = 0;  // position in the log of the process's first byte
  };
  // Returns one process that has ended and frees its slot; nothing if none has ended.
  std::optional<Ended> poll();
  // Sends SIGTERM to all running processes and their process groups, or SIGUSR1 to all running launchers.
  void ask_to_end();

 private:
  struct Process {
    pid_t pid = 0;  // 0: the slot is free
    std::string name;
    int64_t log_begin = 0;
  };
  int stop_signal() const;

  std::vector<Slot> slots_;
  bool launched_;
  std::vector<Process> busy_;
};

}  // namespace rowan
