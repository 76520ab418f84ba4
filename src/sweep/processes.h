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

class ProcessPool {
 public:
  // `launched`: the processes are launchers of ranks, such as mpirun. A launcher is asked to end by SIGUSR1, which it
  // forwards to its ranks; after a SIGTERM, mpirun kills the ranks one second later.
  explicit ProcessPool(std::vector<Slot> slots, bool launched = false)
      : slots_(std::move(slots)), launched_(launched), busy_(slots_.size()) {}
  // If processes run, asks them to end and waits for them. After ten minutes, kills those that still run, and their
  // process groups.
  ~ProcessPool();
  ProcessPool(const ProcessPool&) = delete;
  ProcessPool& operator=(const ProcessPool&) = delete;

  size_t running() const;
  bool full() const { return running() == slots_.size(); }
  const std::vector<Slot>& slots() const { return slots_; }

  // Starts `command` on a free slot, in a new process group, and appends the command's output to `log`. If the calling
  // process ends, for any reason, the kernel asks the new process to end, by the signal of ask_to_end(). Returns false
  // if another process, for example of an earlier sweep, still locks the log. A slot must be free.
  bool start(const std::string& name, const std::vector<std::string>& command,
             const std::vector<std::string>& environment, const std::filesystem::path& log);

  struct Ended {
    std::string name;
    int code = 0;    // exit code; 0 after a signal
    int signal = 0;  // signal that killed the process; 0: none
  };
  // Returns one process that has ended and frees its slot; nothing if none has ended.
  std::optional<Ended> poll();
  // Sends SIGTERM to all running processes and their process groups, or SIGUSR1 to all running launchers.
  void ask_to_end();

 private:
  struct Process {
    pid_t pid = 0;  // 0: the slot is free
    std::string name;
  };
  int stop_signal() const;

  std::vector<Slot> slots_;
  bool launched_;
  std::vector<Process> busy_;
};

}  // namespace rowan
