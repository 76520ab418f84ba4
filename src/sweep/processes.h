// Processes side by side, each with its own GPUs or CPU cores.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace rowan {

// What one process, or the ranks of one run, may use.
struct Slot {
  std::vector<int> gpus;   // numbers for CUDA_VISIBLE_DEVICES; none: a CPU run
  std::vector<int> cores;  // none: all
};

struct SlotWish {
  int64_t jobs = 0;  // at once; 0: as many as there is room for
  int64_t ranks = 1, threads = 1;
  bool gpu = false;
};
// The slots of this machine: eight GPUs are eight slots of one rank or one of eight. Cores are dealt out as long as
// there are enough for all slots. Throws Error when not one slot fits.
std::vector<Slot> make_slots(const SlotWish& wish);
// GPUs that CUDA_VISIBLE_DEVICES and the NVIDIA driver leave to this process.
std::vector<int> visible_gpus();

class ProcessPool {
 public:
  explicit ProcessPool(std::vector<Slot> slots) : slots_(std::move(slots)), busy_(slots_.size()) {}
  // Ends what still runs.
  ~ProcessPool();
  ProcessPool(const ProcessPool&) = delete;
  ProcessPool& operator=(const ProcessPool&) = delete;

  size_t running() const;
  bool full() const { return running() == slots_.size(); }
  const std::vector<Slot>& slots() const { return slots_; }

  // Starts `command` on a free slot, in a process group of its own, its output behind what is in `log`. It is asked to
  // end when this process does, however that happens. Returns false when a process that an earlier sweep started still
  // holds the log.
  bool start(const std::string& name, const std::vector<std::string>& command,
             const std::vector<std::string>& environment, const std::filesystem::path& log);

  struct Ended {
    std::string name;
    int code = 0;    // of exit
    int signal = 0;  // that ended it, else 0
  };
  // One that has ended since the last call.
  std::optional<Ended> poll();
  // SIGTERM to all.
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
