// Runs processes in parallel, each with its own GPUs or CPU cores.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace rowan {

// The resources of one process, or of the ranks of one run.
struct Slot {
  std::vector<int> gpus;   // GPU numbers for CUDA_VISIBLE_DEVICES; empty: a CPU run
  std::vector<int> cores;  // core numbers; empty: all cores
};

struct SlotWish {
  int64_t jobs = 0;  // processes at once; 0: as many as fit
  int64_t ranks = 1, threads = 1;
  bool gpu = false;
};
// The slots of this machine: eight GPUs are eight slots of one rank or one slot of eight. Cores are assigned if there
// are enough for all slots. Throws Error if not even one slot fits.
std::vector<Slot> make_slots(const SlotWish& wish);
// The GPUs that CUDA_VISIBLE_DEVICES and the NVIDIA driver make available to this process.
std::vector<int> visible_gpus();

class ProcessPool {
 public:
  explicit ProcessPool(std::vector<Slot> slots) : slots_(std::move(slots)), busy_(slots_.size()) {}
  // Ends all running processes.
  ~ProcessPool();
  ProcessPool(const ProcessPool&) = delete;
  ProcessPool& operator=(const ProcessPool&) = delete;

  size_t running() const;
  bool full() const { return running() == slots_.size(); }
  const std::vector<Slot>& slots() const { return slots_; }

  // Starts `command` on a free slot, in a process group of its own, and appends its output to `log`. The process is
  // asked to end when this one does, however that happens. Returns false if a process of an earlier sweep still holds
  // the log.
  bool start(const std::string& name, const std::vector<std::string>& command,
             const std::vector<std::string>& environment, const std::filesystem::path& log);

  struct Ended {
    std::string name;
    int code = 0;    // exit code
    int signal = 0;  // signal that ended it, else 0
  };
  // A process that has ended since the last call, if any.
  std::optional<Ended> poll();
  // Sends SIGTERM to all processes.
  void ask_to_end();

 private:
  struct Process {
    pid_t pid = 0;  // 0: the slot is free
    std::string name;
  };
  std::vector<Slot> slots_;
  std::vector<Process> busy_;
};

}  // namespace rowan
